"""Alerts and dashboard: they use metrics and labels that the engine has, and say what they should when they should."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from rendering import CHART, NAME, NAMESPACE, OPTIONS, objects, only

from asterisk import debian
from engine.metrics import Metrics

pytestmark = pytest.mark.cluster

ADDED = {"namespace", "pod", "job", "service", "le"}
"""Labels that Prometheus and its operator add, and that histograms have."""
ALERTS = CHART / "files" / "alerts.yaml"


@pytest.fixture(scope="session")
def promtool() -> list[str]:
    """The beginning of a command line: the machine's promtool, else Debian's, unpacked without root."""
    if there := shutil.which("promtool"):
        return [there]
    root = debian.unpack(("prometheus",))  # says what is missing where it cannot
    library = next(iter(sorted(root.glob("usr/lib/*-linux-gnu*"))))
    loader = next(iter(sorted(library.glob("ld-linux*.so*"))))
    return [str(loader), "--library-path", str(library), str(root / "usr/bin/promtool")]


def run(promtool: list[str], *words: str, folder: Path) -> str:
    done = subprocess.run([*promtool, *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def series() -> dict[str, set[str]]:
    """Every series that an engine gives, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(Metrics(CollectorRegistry())).values():
        if hasattr(metric, "_labelnames"):
            (family,) = metric.describe()
            suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
            names = {f"{family.name}{suffix}" for suffix in suffixes[family.type]}
            found |= {name: set(metric._labelnames) for name in names}
    return found | {"hookflash_build_info": {"version"}}


def strangers(expression: str) -> list[str]:
    """Series and labels of an expression that no engine has."""
    known = series()
    problems = []
    for name, labels in re.findall(r"(hookflash_\w+)(?:\{([^}]*)\})?", expression):
        if name not in known:
            problems.append(name)
            continue
        used = set(re.findall(r"(\w+)\s*=?[=~!]", labels))
        problems += [f"{name} has no {label}" for label in used - known[name] - ADDED]
    every = set().union(*(known[name] for name in re.findall(r"hookflash_\w+", expression) if name in known))
    for labels in re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression):
        problems += [f"nothing has {label}" for label in re.findall(r"\w+", labels) if label not in every | ADDED]
    return problems


def test_strangers_are_found() -> None:
    assert strangers('rate(hookflash_calls_total{flow="a"}[5m])') == ["hookflash_calls_total"]
    assert strangers('hookflash_calls_active{flwo=~"a"}') == ["hookflash_calls_active has no flwo"]
    assert strangers("sum by (le, verb) (hookflash_turn_response_seconds_bucket)") == ["nothing has verb"]
    assert strangers('sum by (flow) (hookflash_calls_active{pod="a"})') == []


def test_alerts_use_what_the_engine_has() -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    for rule in rules:
        assert strangers(rule["expr"]) == [], rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["expr"].count("hookflash_") == rule["expr"].count('{job="hookflash"'), rule["alert"]


def test_the_dashboard_uses_what_the_engine_has() -> None:
    board = json.loads((CHART / "files" / "dashboard.json").read_text())
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    for expression in expressions:
        assert strangers(expression) == [], expression
        assert 'namespace=~"$namespace"' in expression
    identifiers = [panel["id"] for panel in board["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    corners = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(corners)) == len(corners)


def test_the_cluster_gets_both() -> None:
    found = objects(OPTIONS["cluster"]["everything"])
    rule = only(found, "PrometheusRule")
    assert 'job="hookflash"' not in json.dumps(rule)
    expression = rule["spec"]["groups"][0]["rules"][1]["expr"]
    assert f'namespace="{NAMESPACE}",service="{NAME}-pods"' in expression
    board = only(found, "ConfigMap", f"{NAME}-dashboard")
    assert json.loads(board["data"]["hookflash.json"])["title"] == "Hookflash"
    assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
    pods = only(found, "Service", f"{NAME}-pods")["spec"]
    assert pods["publishNotReadyAddresses"], "a pod that drains must still be seen"
    wanted = only(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
    seen = [each["metadata"]["name"] for each in found if each["kind"] == "Service"
            and wanted <= each["metadata"]["labels"].items()]  # fmt: skip
    assert seen == [f"{NAME}-pods"], "the metrics of a pod must be read once"


def test_promtool_takes_the_rules_as_the_chart_renders_them(promtool: list[str], tmp_path: Path) -> None:
    spec = only(objects(OPTIONS["cluster"]["everything"]), "PrometheusRule")["spec"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(spec))
    assert "14 rules found" in run(promtool, "check", "rules", "rules.yaml", folder=tmp_path)


def test_promtool_understands_what_the_dashboard_asks(promtool: list[str], tmp_path: Path) -> None:
    board = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    for variable, value in (("$__rate_interval", "5m"), ("$namespace", ".*"), ("$pod", ".*")):
        asked = [expression.replace(variable, value) for expression in asked]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(asked)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    assert f"{len(rules)} rules found" in run(promtool, "check", "rules", "rules.yaml", folder=tmp_path)


def test_alerts_are_raised_when_they_should_and_only_then(promtool: list[str], tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path)
    shutil.copy(Path(__file__).parent / "alerts.test.yaml", tmp_path)
    run(promtool, "test", "rules", "alerts.test.yaml", folder=tmp_path)
    tried = yaml.safe_load((tmp_path / "alerts.test.yaml").read_text())["tests"]
    alerts = {rule["alert"] for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]}
    raised = {each["alertname"] for test in tried for each in test["alert_rule_test"] if each["exp_alerts"]}
    quiet = {each["alertname"] for test in tried for each in test["alert_rule_test"] if not each["exp_alerts"]}
    assert (raised, quiet) == (alerts, alerts)


def test_promtool_notices_an_alert_that_does_not_come(promtool: list[str], tmp_path: Path) -> None:
    (tmp_path / "alerts.yaml").write_text(ALERTS.read_text().replace("== 0", "== 7"))
    shutil.copy(Path(__file__).parent / "alerts.test.yaml", tmp_path)
    with pytest.raises(AssertionError, match="HookflashAsteriskLost"):
        run(promtool, "test", "rules", "alerts.test.yaml", folder=tmp_path)
