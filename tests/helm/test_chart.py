"""The chart as Helm renders it: the whole matrix of modes and options is valid, and holds together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml
from crds import CRDS
from invariants import dangling, unsafe
from rendering import (
    CHART,
    FLOW,
    KEYS,
    MODES,
    NAME,
    NAMESPACE,
    OPTIONS,
    POLICY,
    PUBLISHED,
    RELEASE,
    Object,
    containers,
    joined,
    matrix,
    notes,
    objects,
    only,
    workload,
)

from engine.settings import Settings, described, variable
from engine.settings_sources import load_settings
from engine.version import VERSION
from helm import describe

pytestmark = pytest.mark.cluster

OLDEST, NEWEST = "1.29", "1.37"
VERSIONS = (OLDEST, "1.31", "1.34", NEWEST)


def valid(found: Object, version: str) -> None:
    """Raise unless the object is one that a cluster of this version takes, with no field too many."""
    if found["kind"] in CRDS:
        jsonschema.validate(found, CRDS[found["kind"]])
    else:
        kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize("mode", MODES)
def test_every_combination_of_options_is_valid_and_holds_together(mode: str) -> None:
    count = 0
    for name, values in matrix():
        if not name.startswith(f"{mode},"):
            continue
        found = objects(values)
        for each in found:
            try:
                valid(each, "1.34")
            except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
                raise AssertionError(f"{name}: {each['kind']}: {error}") from None
        problems = [*unsafe(found), *dangling(found)]
        assert problems == [], name
        count += 1
    assert count >= 48


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", MODES)
def test_each_version_of_kubernetes_takes_it(mode: str, version: str) -> None:
    options = [chosen[list(chosen)[-1]] for chosen in OPTIONS.values()]
    if MODES[mode].get("replicas", 1) == 1:
        options.append(PUBLISHED)
    for values in (MODES[mode], joined(MODES[mode], *options)):
        for each in objects(values):
            valid(each, version)


@pytest.mark.parametrize("mode", MODES)
def test_helm_lints_it_strictly(mode: str) -> None:
    found = helm_python.lint(CHART, MODES[mode], strict=True, kube_version=f"v{OLDEST}.0")
    assert not found["errors"]
    assert [each for each in found["messages"] if each["severity"] > 1] == []


def test_helm_installs_it_on_paper() -> None:
    """As `helm install --dry-run=client` does, with the flow from a file as the page for operators says."""
    nowhere = {"server": "https://127.0.0.1:1"}
    kubeconfig = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "users": [{"name": "u", "user": {}}],
        "clusters": [{"name": "k", "cluster": nowhere}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
    }  # fmt: skip
    config = helm_python.Config(storage_driver="memory", namespace=NAMESPACE, kubeconfig_content=json.dumps(kubeconfig))
    flow = f"{Path(describe.CHART) / 'files' / 'welcome.flow.yaml'}"
    values = helm_python.parse_set_file(rf"flows.inline.reception\.flow\.yaml={flow}")
    release = config.install(CHART, RELEASE, values, dry_run="client", namespace=NAMESPACE)
    assert "reception.flow.yaml: |" in release["manifest"]
    assert "is installed" in release["notes"]
    assert "flows.inline" not in release["notes"]


def test_another_chart_may_have_it_in_itself(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: telephony\nversion: 1.0.0\n")
    shutil.copytree(CHART, tmp_path / "charts" / "hookflash")
    values = {"global": {"site": "berlin"}, "hookflash": {"settings": {"max_calls": 7}}}
    with helm_python.Chart.load(tmp_path) as chart:
        found = chart.render(values, name="acme", namespace=NAMESPACE, is_install=True)
    settings = next(text for path, text in found.items() if path.endswith("configmaps.yaml"))
    assert "max_calls: 7" in settings


def test_helm_packages_it_with_all_that_it_needs(tmp_path: Path) -> None:
    with helm_python.Chart.load(CHART) as chart:
        chart.save(str(tmp_path))
    (archive,) = tmp_path.glob("hookflash-*.tgz")
    with helm_python.Chart.load(archive) as packed:
        assert packed.render(name=RELEASE, namespace=NAMESPACE, is_install=True).keys() == {
            f"hookflash/{path.relative_to(CHART)}"
            for path in CHART.glob("templates/**/*")
            if path.is_file() and path.suffix != ".tpl"
        }


# ── What the engine and Asterisk read ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", MODES)
def test_the_engine_understands_the_settings_that_the_chart_writes(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = OPTIONS["cluster"]["everything"]
    found = objects(joined(MODES[mode], OPTIONS["secrets"]["existing"], everything))
    (tmp_path / "hookflash.yaml").write_text(only(found, "ConfigMap", f"{NAME}-settings")["data"]["hookflash.yaml"])
    keys = {"ari": "tulips", "openai": "sk-1", "database": "postgresql+asyncpg://u:p@db/calls"}
    for key, secret in keys.items():
        (tmp_path / key).write_text(secret)
    (engine,) = workload(found)["spec"]["template"]["spec"]["containers"]
    for each in engine["env"]:
        if each["name"].startswith("HOOKFLASH_") and "value" in each:
            path = Path(each["value"])
            value = str(tmp_path / path.name) if path.is_absolute() else each["value"]
            monkeypatch.setenv(each["name"], value)
    settings = load_settings()
    assert settings.voice_settings() == {"openai": {"model": "gpt-realtime", "api_key": "sk-1"}}
    assert settings.asterisk.password.get_secret_value() == "tulips"
    assert settings.asterisk.url == ("https://pbx.example.com:8089" if mode == "external" else "http://127.0.0.1:8088")
    assert settings.database.url.get_secret_value() == keys["database"]
    assert (settings.max_calls, settings.log.numbers, settings.log.format) == (150, False, "json")
    pod = workload(found)["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= settings.drain_timeout + 10
    assert settings.http.host == "0.0.0.0"
    assert engine["ports"][0]["containerPort"] == settings.http.port
    mounts = {mount["mountPath"] for mount in engine["volumeMounts"]}
    assert {str(settings.storage), *map(str, settings.flows)} <= mounts


def test_an_account_has_its_key_in_the_secret_or_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "acme").write_text("sk-acme")
    (tmp_path / "bella").write_text("sk-bella")
    accounts = {
        "acme": {"azure-openai": {"model": "m", "max_sessions": 20}},
        "bella": {"openai": {"api_key_file": str(tmp_path / "bella")}},
    }
    keys = {"accounts.acme.azure-openai.api_key": "acme"}
    found = objects({"settings": {"accounts": accounts}, "secrets": {"existingSecret": "telephony-keys", "keys": keys}})
    (tmp_path / "hookflash.yaml").write_text(only(found, "ConfigMap", f"{NAME}-settings")["data"]["hookflash.yaml"])
    (engine,) = workload(found)["spec"]["template"]["spec"]["containers"]
    env = {each["name"]: each.get("value", "") for each in engine["env"]}
    name = "HOOKFLASH_ACCOUNTS_ACME_AZURE_OPENAI_API_KEY_FILE"
    assert env[name] == "/run/secrets/hookflash/acme"
    monkeypatch.setenv(name, str(tmp_path / "acme"))
    settings = load_settings(tmp_path / "hookflash.yaml")
    assert settings.account_settings() == {
        "acme": {"azure-openai": {"model": "m", "max_sessions": "20", "api_key": "sk-acme"}},
        "bella": {"openai": {"api_key": "sk-bella"}},
    }


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "external"])
def test_asterisk_is_configured_as_the_values_say(mode: str, tmp_path: Path) -> None:
    from asterisk.config import render
    from engine.cli.choices import chosen

    values = joined(MODES[mode], OPTIONS["certificate"]["Teams"], OPTIONS["secrets"]["existing"])
    found = objects(values)
    pod = workload(found)["spec"]["template"]["spec"]
    config, asterisk = pod["initContainers"]
    (option,) = [word for word in config["args"] if word.startswith("--choices=")]
    name = Path(option.removeprefix("--choices=")).name.replace("$(POD_NAME)", f"{NAME}-1")
    text = only(found, "ConfigMap", f"{NAME}-asterisk")["data"][name]
    (tmp_path / "dialer").write_text("tulips")
    (tmp_path / name).write_text(text.replace("/run/secrets/hookflash", str(tmp_path)))
    single = [word.removeprefix("--set=") for word in config["args"] if word.startswith("--set=")]
    single = [word.replace("$(NODE_ADDRESS)", "192.0.2.1") for word in single]
    config_files = render(chosen(Settings(), "ari", tmp_path / name, single))
    address = {"host port": "192.0.2.1", "load balancer": "203.0.113.8"}.get(mode)
    assert (f"external_media_address={address}" in config_files["pjsip.conf"]) == (address is not None)
    assert "external_media_address" not in config_files["pjsip.conf"] or address
    assert "bind=0.0.0.0:5061" in config_files["pjsip.conf"]
    assert "ca_list_file=/etc/ssl/certs/ca-certificates.crt" in config_files["pjsip.conf"]
    assert "password=tulips" in config_files["pjsip.conf"]
    assert "bindaddr=127.0.0.1\nbindport=8088" in config_files["http.conf"]
    assert "console => " in config_files["logger.conf"]
    assert f"rtpend={values.get('rtp', {}).get('end', 10399)}" in config_files["rtp.conf"]
    assert {port["containerPort"] for port in asterisk["ports"]} >= {5060, 5061}


def test_asterisk_starts_before_the_engine_and_ends_after_it() -> None:
    pod = workload(objects())["spec"]["template"]["spec"]
    config, asterisk = pod["initContainers"]
    assert "restartPolicy" not in config  # it must end before the next starts
    assert asterisk["restartPolicy"] == "Always"  # a native sidecar: started first, stopped last
    assert asterisk["startupProbe"]["exec"]["command"][0] == "asterisk"
    assert "lifecycle" not in asterisk
    assert [each["name"] for each in pod["containers"]] == ["engine"]


def test_probes_ask_the_pages_that_the_engine_has() -> None:
    (engine,) = workload(objects())["spec"]["template"]["spec"]["containers"]
    asked = {probe: engine[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    # /startupz waits for Asterisk, which may be away for hours: an engine that waits for it must not be killed.
    assert asked == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert engine["startupProbe"]["periodSeconds"] * engine["startupProbe"]["failureThreshold"] >= 60


@pytest.mark.parametrize("mode", MODES)
def test_live_calls_are_reached_while_their_pod_takes_no_more(mode: str) -> None:
    """A pod that is full, drains or has lost its Asterisk is not ready; its calls are hung up and told of events."""
    found = objects(MODES[mode])
    assert only(found, "Service", NAME)["spec"]["publishNotReadyAddresses"] is True
    assert only(found, "Service", f"{NAME}-pods")["spec"]["publishNotReadyAddresses"] is True


def test_ways_in() -> None:
    def asterisk(values: dict[str, Any]) -> Object:
        return containers(workload(objects(values))["spec"]["template"])[1]

    host = workload(objects(MODES["host network"]))["spec"]["template"]["spec"]
    assert (host["hostNetwork"], host["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")
    ports = asterisk(MODES["host port"])["ports"]
    assert {port["hostPort"] for port in ports} == {5060, *range(10000, 10100)}
    assert all(port["hostPort"] == port["containerPort"] for port in ports)
    every = objects(MODES["load balancer"])
    balanced = [each for each in every if each.get("spec", {}).get("type") == "LoadBalancer"]
    assert [each["spec"]["loadBalancerIP"] for each in balanced] == ["203.0.113.7", "203.0.113.8"]
    assert all(each["spec"]["externalTrafficPolicy"] == "Local" for each in balanced)
    assert {port["port"] for port in balanced[0]["spec"]["ports"]} == {5060, *range(10000, 10100)}
    sbc = only(objects(MODES["SBC"]), "Service", f"{NAME}-sip")
    assert sbc["spec"]["clusterIP"] == "None"
    outside = objects(MODES["external"])
    assert [each["metadata"]["name"] for each in outside if each["kind"] == "Service"] == [NAME, f"{NAME}-pods"]
    assert workload(outside)["spec"]["strategy"] == {"type": "Recreate"}


def test_flows_change_without_a_restart_and_settings_with_one() -> None:
    def template(values: dict[str, Any]) -> Object:
        return workload(objects(values))["spec"]["template"]

    plain = template({})
    assert template({"flows": {"inline": {"other.flow.yaml": "flow: other"}}}) == plain
    assert template({"settings": {"max_calls": 7}}) != plain
    first, second = (
        template(joined(MODES["load balancer"], {"sip": {"loadBalancer": {"addresses": ["203.0.113.7", address]}}}))
        for address in ("203.0.113.8", "203.0.113.9")
    )
    assert first != second
    assert template({"asterisk": {"choices": {"fallback": {"endpoint": "PJSIP/desk"}}}}) != plain
    (mount,) = [each for each in plain["spec"]["containers"][0]["volumeMounts"] if each["name"] == "flows"]
    assert "subPath" not in mount  # kubelet never changes what is mounted so


def test_flows_are_checked_before_they_are_installed() -> None:
    found = objects({"flows": {"inline": {"hello.flow.yaml": "flow: hello"}}}, is_install=False, is_upgrade=True)
    job = only(found, "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (check,) = job["spec"]["template"]["spec"]["containers"]
    assert check["args"][:2] == ["check", check["volumeMounts"][0]["mountPath"]]
    volumes = {each["name"]: each for each in job["spec"]["template"]["spec"]["volumes"]}
    given = only(found, "ConfigMap", volumes["flows"]["configMap"]["name"])
    assert given["data"] == {"hello.flow.yaml": "flow: hello"}
    for each in (given, only(found, "ConfigMap", volumes["settings"]["configMap"]["name"])):
        assert int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) < int(
            job["metadata"]["annotations"]["helm.sh/hook-weight"]
        )
        assert each["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert [each["kind"] for each in objects({"flows": {"check": False}})].count("Job") == 0


WRITES = """\
flow: acme/hello
vars: {name: {type: string}}
steps:
  - answer: {}
  - extract: {into: name, schema: {type: string}, from: transcript}
  - hangup: {}
"""
TENANT = """\
flow: acme/hello
defaults: {account: acme}
steps:
  - answer: {}
  - hangup: {}
"""
KEY_OF_ACME = {"existingSecret": "telephony-keys", "keys": {"accounts.acme.openai.api_key": "acme"}}


@pytest.mark.parametrize(
    ("flow", "values", "said"),
    [
        (WRITES, {}, "E311"),
        (WRITES, {"settings": {"text": "openai"}}, ""),
        (WRITES, {"extraEnv": [{"name": "HOOKFLASH_TEXT", "value": "openai"}]}, ""),
        (TENANT, {}, "acme"),
        (TENANT, {"settings": {"accounts": {"acme": {"openai": {"max_sessions": 2}}}}}, ""),
        (TENANT, {"secrets": KEY_OF_ACME}, ""),
        (TENANT, {"extraEnv": [{"name": "HOOKFLASH_ACCOUNTS_ACME_OPENAI_API_KEY",
                                "valueFrom": {"secretKeyRef": {"name": "k", "key": "acme"}}}]}, ""),
        (FLOW, {"settings": {"console": {"origin": "calls.acme.example"}}}, "console.origin"),
        (FLOW, {}, ""),
    ],
    ids=["nobody writes", "somebody writes", "somebody of the environment writes", "no such account", "account",
         "account of a secret", "account of the environment", "wrong setting", "nothing special"],
)  # fmt: skip
def test_what_the_engine_would_refuse_to_start_with_fails_the_check(
    flow: str, values: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """The check's own command, with the files and the environment that its pod has, and without the Secret."""
    found = objects(joined({"flows": {"inline": {"hello.flow.yaml": flow}}}, values))
    spec = only(found, "Job")["spec"]["template"]["spec"]
    (check,) = spec["containers"]
    words = list(check["args"])
    for mount in check["volumeMounts"]:
        (volume,) = [each for each in spec["volumes"] if each["name"] == mount["name"]]
        place = tmp_path / mount["name"]
        place.mkdir()
        for file, text in only(found, "ConfigMap", volume["configMap"]["name"])["data"].items():
            (place / file).write_text(text)
        words = [word.replace(mount["mountPath"], str(place)) for word in words]
    env = {each["name"]: each["value"] for each in check.get("env", [])}
    done = subprocess.run(
        [sys.executable, "-c", "from engine.cli import main; main()", *words],
        capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), **env}, cwd=tmp_path,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert (done.returncode == 0) == (not said), told
    assert said in told


def test_the_network_policy_lets_in_what_is_named_and_nothing_else() -> None:
    closed = only(objects(joined(MODES["SBC"], {"networkPolicy": {"enabled": True}})), "NetworkPolicy")["spec"]
    assert len(closed["ingress"]) == 1  # helm test
    assert "egress" not in closed
    spec = only(objects(joined(MODES["SBC"], POLICY)), "NetworkPolicy")["spec"]
    http, sip = spec["ingress"][1:]
    assert [port["port"] for port in http["ports"]] == [8070]
    assert len(http["from"]) == 2
    assert sip["from"] == [{"ipBlock": {"cidr": "203.0.113.0/24"}}]
    assert {"protocol": "UDP", "port": 10000, "endPort": 10399} in sip["ports"]
    assert 53 in [port["port"] for port in spec["egress"][0]["ports"]]
    tester = only(objects(MODES["SBC"]), "Pod")
    wanted = closed["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert wanted.items() <= tester["metadata"]["labels"].items()


def test_notes_say_what_is_to_be_done() -> None:
    first = notes()
    todos = ("flows.inline", "asterisk.choices:", "fallback.endpoint", "image.repository", "safety_destination", "keep")
    for todo in todos:
        assert f"- {todo}" in first or f"- asterisk.choices.{todo}" in first or f"- settings.{todo}" in first, todo
    assert f"rollout status statefulset/{NAME}" in first
    options = [chosen[list(chosen)[-1]] for chosen in OPTIONS.values()]
    done = notes(
        joined(
            MODES["SBC"], *options, {"persistence": {"enabled": True}},
            {"image": {"repository": "registry.acme/hookflash"}},
            {"settings": {"safety_destination": "pjsip:desk", "keep": {"recordings": "30d"}}},
        ),
        is_install=False, is_upgrade=True,
    )  # fmt: skip
    assert "is upgraded" in done
    assert done.split("To do:")[1].strip().startswith("A stopping pod"), done
    assert "Stasis(hookflash," in notes(MODES["external"])


# ── The chart's own papers ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_schema_and_the_readme_are_up_to_date() -> None:
    for path, content in describe.files().items():
        assert path.read_text("utf-8") == content, f"{path.name} is old: run `make chart`"


def test_the_chart_is_of_this_version() -> None:
    described_ = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert described_["appVersion"] == VERSION
    assert described_["kubeVersion"] == f">={OLDEST}.0-0"


def test_the_schema_has_no_loose_ends() -> None:
    """Every object says which fields it has, or of which kind all are; every array, what is in it."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def open_ends(node: Any, at: str) -> list[str]:
        if isinstance(node, list):
            return [each for index, item in enumerate(node) for each in open_ends(item, f"{at}[{index}]")]
        if not isinstance(node, dict):
            return []
        found = []
        kinds = node.get("type") if isinstance(node.get("type"), list) else [node.get("type")]
        if "object" in kinds and node.get("additionalProperties", True) in (True, {}):
            found.append(at)
        if "array" in kinds and "items" not in node:
            found.append(at)
        return found + [each for name, value in node.items() for each in open_ends(value, f"{at}/{name}")]

    assert open_ends(schema, "") == ["/properties/global"]  # Helm's own, for charts that have this one in them
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_setting_of_the_engine_can_be_set_or_is_the_charts_own() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]["settings"]["properties"]
    secrets = describe.SECRETS_OF_ENGINE
    assert ("asterisk", "password") in secrets
    for path, _ in described():
        if path in secrets or path[0] in describe.OWN_SETTINGS:
            continue
        node = schema
        for part in path[:-1]:
            node = node[part]["properties"]
        assert path[-1] in node, f"{variable(path)} cannot be set in the chart"
    keys = json.loads((CHART / "values.schema.json").read_text())["properties"]["secrets"]["properties"]["keys"]
    for path in secrets:
        jsonschema.validate({".".join(path): "key"}, keys)
    jsonschema.validate(KEYS, keys)
