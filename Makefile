# The targets that a user, a contributor and CI call. `make help` lists them.
PYTHON ?= python3
# Tests at a time: most wait for audio, but where there are few processors too many of them keep one another waiting.
WORKERS ?= $(shell if [ "$$(nproc)" -gt 2 ]; then echo 4; else echo 3; fi)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSOLE := console/node_modules/.package-lock.json
LANGUAGE_SERVER := var/node/node_modules/yaml-language-server/package.json

.PHONY: help setup sandbox demo serve test nightly unit lint types bench ari chart images pod pod-tools promtool editor console browser screenshots clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

$(STAMP): setup.cfg pyproject.toml
	@echo "Setting up the Python environment in $(VENV) (a minute, once)"
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Hookflash needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: set PYTHON=python3.11")'
	@$(PYTHON) -m venv $(VENV) || (echo "No venv module: apt-get install python3-venv"; exit 1)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,bench]'
	@# Gemini's own types judge its emulator. The package pins an older tenacity than the engine's, so it comes without its
	@# dependencies; those that its types need are in the extra "test".
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'google-genai>=3.4,<4'
	@touch $@

setup: $(STAMP) ## the virtual environment with everything in it

sandbox: $(STAMP) ## unpack the private Asterisk (once, into the user's cache)
	@$(BIN)/python -m asterisk.sandbox

demo: $(STAMP) ## a real call, narrated and measured (VOICE=openai; STAY=1 keeps the console up; LOAD=20 fills it)
	@$(BIN)/hookflash demo $(if $(VOICE),--voice $(VOICE)) $(if $(filter-out 0,$(STAY)),--stay) $(if $(LOAD),--load $(LOAD))

serve: $(STAMP) ## run the engine beside your own Asterisk (settings: HOOKFLASH_* or hookflash.yaml)
	@$(BIN)/hookflash serve

test: $(STAMP) lint types sandbox promtool ## everything that must hold before a change is taken (WORKERS=4: so many at a time)
	@if ! command -v npm >/dev/null; then \
	  echo "No npm on this machine: the tests of editor support (they run the real YAML language server) and of the page are left out"; \
	  $(BIN)/python -m pytest -n $(WORKERS) -m 'not editor and not browser and not nightly and not pod'; \
	elif ! $(MAKE) --no-print-directory browser; then \
	  echo "The tests of the page are left out"; \
	  $(MAKE) --no-print-directory editor && $(BIN)/python -m pytest -n $(WORKERS) -m 'not browser and not nightly and not pod'; \
	else \
	  $(MAKE) --no-print-directory editor && $(BIN)/python -m pytest -n $(WORKERS) -m 'not nightly and not pod'; \
	fi

nightly: $(STAMP) ## 100,000 broken flows through the reader and the check: a minute
	@$(BIN)/python -m pytest -n $(WORKERS) -m nightly

unit: $(STAMP) ## the tests that need no Asterisk: seconds
	@$(BIN)/python -m pytest -n 2 -m 'not asterisk and not browser and not cluster and not nightly and not editor and not pod'

lint: $(STAMP) ## ruff and the import rules of the house
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-cache

types: $(STAMP) ## mypy --strict
	@$(BIN)/mypy

bench: $(STAMP) ## measure the engine against a bare floor; the table goes to var/bench/results.json
	@$(BIN)/python -m bench

ari: $(STAMP) ## regenerate the ARI client from Asterisk's Swagger files
	@$(BIN)/python -m asterisk.ari.generate

chart: $(STAMP) ## the chart's schema and its README's table, made anew from values.yaml and the settings
	@$(BIN)/python -m helm.describe

images: ## the images of the engine and of Asterisk, with buildah (BASE_FROM=debian: without a registry)
	@helm/images/build

pod-tools: # what `make pod` needs, by apt-get
	@for tool in buildah podman runc mmdebstrap; do command -v $$tool >/dev/null || missing=yes; done; \
	if [ "$$missing" ]; then apt-get update --quiet --quiet && \
	  apt-get install --yes --quiet --quiet --no-install-recommends buildah podman runc netavark mmdebstrap; fi

pod: $(STAMP) sandbox pod-tools ## the chart's pod with real calls, run by podman: two minutes (as root; installs buildah and podman)
	@BASE_FROM=debian helm/images/build
	@$(BIN)/python -m pytest -m pod

promtool: $(STAMP) ## Prometheus' promtool, for the tests of the alerts (unpacked once, without root)
	@command -v promtool >/dev/null || $(BIN)/python -c 'from asterisk.debian import unpack; unpack(("prometheus",))'

editor: $(LANGUAGE_SERVER) ## the YAML language server, for the tests of editor support (needs npm)

$(LANGUAGE_SERVER):
	@command -v npm >/dev/null || (echo "No npm: install Node.js 20 or newer (apt-get install nodejs npm)"; exit 1)
	@npm install --silent --no-fund --no-audit --prefix var/node yaml-language-server@2.0.0

console: $(CONSOLE) ## build the supervisors' page from console/ into engine/console/static (needs npm)
	@npm run --silent --prefix console check
	@npm run --silent --prefix console test
	@npm run --silent --prefix console build

$(CONSOLE): console/package.json console/package-lock.json
	@command -v npm >/dev/null || (echo "No npm: install Node.js 20 or newer (apt-get install nodejs npm)"; exit 1)
	@npm ci --silent --no-fund --no-audit --prefix console
	@touch $@

browser: $(CONSOLE) ## what the tests of the page need: Chromium (with apt-get, as root) and axe-core (with npm)
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; } || (echo "No Chromium: as root, apt-get install chromium"; exit 1)
	@command -v chromium >/dev/null || { echo "Installing Debian's Chromium (100 MB, once)"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-inter >/dev/null; }

screenshots: $(STAMP) browser sandbox ## the pictures of docs/console.md, made on a running engine
	@$(BIN)/python -m tests.console.screenshots

clean: ## remove what was built here (the Asterisk cache stays)
	@rm -rf $(VENV) var build console/node_modules *.egg-info .pytest_cache .mypy_cache .ruff_cache
