from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from engine.metrics import Metrics
from engine.settings import described, variable
from engine.settings_sources import SettingsError, load_settings, unknown_variables


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of the machine: an empty folder and a clean environment."""
    import os

    for name in list(os.environ):
        if name.startswith("HOOKFLASH_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def problems(config: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings(config)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def written(text: str) -> Path:
    file = Path("hookflash.yaml")
    file.write_text(text, "utf-8")
    return file


def test_defaults_need_nothing() -> None:
    settings = load_settings()
    assert settings.asterisk.url == "http://127.0.0.1:8088"
    assert settings.http.port == 8070
    assert settings.database.url.get_secret_value() == "sqlite+aiosqlite:///var/hookflash.db"
    assert settings.name


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(monkeypatch: pytest.MonkeyPatch) -> None:
    written("max_calls: 5\nhttp: {port: 9000, host: 0.0.0.0}\nname: file\nasterisk:\nlog:\n  level: DEBUG\n")
    monkeypatch.setenv("HOOKFLASH_HTTP_PORT", "9001")
    monkeypatch.setenv("HOOKFLASH_NAME", "environment")
    monkeypatch.setenv("HOOKFLASH_MAX_CALLS", "")  # empty counts as not set
    settings = load_settings(name="command line")
    assert (settings.max_calls, settings.http.port, settings.http.host) == (5, 9001, "0.0.0.0")
    assert settings.name == "command line"
    assert settings.log.level == "debug"


def test_the_file_is_named_by_option_or_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("max_calls: 1")
    (tmp_path / "b.yaml").write_text("max_calls: 2")
    monkeypatch.setenv("HOOKFLASH_CONFIG", "a.yaml")
    assert load_settings().max_calls == 1
    assert load_settings(tmp_path / "b.yaml").max_calls == 2


def test_every_setting_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {".".join(path): variable(path) for path, _ in described()}
    assert names["asterisk.url"] == "HOOKFLASH_ASTERISK_URL"
    assert names["drain_timeout"] == "HOOKFLASH_DRAIN_TIMEOUT"
    assert len(set(names.values())) == len(names)
    assert all(field.description for _, field in described())


@pytest.mark.parametrize(("written", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("250ms", 0.25), ("1h", 3600)])
def test_durations(written: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_DRAIN_TIMEOUT", written)
    assert load_settings().drain_timeout == seconds


def test_flows_are_separated_by_commas_or_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_FLOWS", "a.flow.yaml, more")
    assert load_settings().flows == (Path("a.flow.yaml"), Path("more"))
    monkeypatch.delenv("HOOKFLASH_FLOWS")
    written("flows: [a, b]")
    assert load_settings().flows == (Path("a"), Path("b"))


def test_secrets_come_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ari").write_text("tulip-9\n")
    (tmp_path / "key").write_text("sk-from-file\n")
    monkeypatch.setenv("HOOKFLASH_ASTERISK_PASSWORD_FILE", str(tmp_path / "ari"))
    written(
        "voices: {openai: {api_key_file: key, model: gpt-realtime, batch_ms: 20}, rehearsal: {script_file: a.yaml}}"
    )
    settings = load_settings()
    assert settings.asterisk.password.get_secret_value() == "tulip-9"
    assert settings.voice_settings() == {
        "openai": {"api_key": "sk-from-file", "model": "gpt-realtime", "batch_ms": "20"},
        "rehearsal": {"script_file": "a.yaml"},
    }
    assert {"tulip-9", "sk-from-file"} <= set(settings.secrets())
    assert "tulip-9" not in repr(settings)
    assert "sk-from-file" not in repr(settings)


def test_the_vendors_own_variable_is_honoured_and_ours_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-vendor")
    vendor = {"api_key": "sk-vendor"}
    assert load_settings().voice_settings() == {"openai": vendor, "gpt-live": vendor}
    monkeypatch.setenv("HOOKFLASH_VOICES_OPENAI_API_KEY", "sk-ours")
    monkeypatch.setenv("HOOKFLASH_VOICES_OPENAI_BASE_URL", "ws://127.0.0.1:1/v1")
    monkeypatch.setenv("HOOKFLASH_VOICES_THIRDPARTY_MODEL", "m")
    assert load_settings().voice_settings() == {
        "openai": {"api_key": "sk-ours", "base_url": "ws://127.0.0.1:1/v1"},
        "gpt-live": vendor,
        "thirdparty": {"model": "m"},
    }


def test_the_databases_password_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_DATABASE_URL", "postgresql://u:hunter2@db/calls")
    settings = load_settings()
    assert "hunter2" in set(settings.secrets())
    assert "hunter2" not in repr(settings)


def test_every_wrong_setting_is_named_with_its_origin_and_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    written("max_calls: none\nhttp:\n  port: 70000\n  prot: 1\nasterisk: {media: tape, url: localhost}\nlog: loud\n")
    monkeypatch.setenv("HOOKFLASH_SAFETY_DESTINATION", "PJSIP/100")
    assert sorted(problems()) == [
        "asterisk.media = 'tape' (hookflash.yaml:5): must be 'auto', 'websocket', 'audiosocket' or 'rtp'",
        "asterisk.url = 'localhost' (hookflash.yaml:5): must be a URL such as http://127.0.0.1:8088",
        "http.port = 70000 (hookflash.yaml:3): must be less than or equal to 65535",
        "http.prot (hookflash.yaml:4): no such setting (did you mean http.port?)",
        "log = 'loud' (hookflash.yaml:6): must be a group of settings",
        "max_calls = 'none' (hookflash.yaml:1): must be a valid integer",
        "safety_destination = 'PJSIP/100' (HOOKFLASH_SAFETY_DESTINATION): "
        "must be a target such as pjsip:front-desk, tel:+14155550100 or teams:reception",
    ]  # fmt: skip


@pytest.mark.parametrize("target", ["tel:0800", "pjsip:a&b", "sip:a@b"])
def test_a_safety_destination_that_the_line_would_not_ring(monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    monkeypatch.setenv("HOOKFLASH_SAFETY_DESTINATION", "tel:+1 415 555-0100")
    assert load_settings().safety_destination == "tel:+1 415 555-0100"
    monkeypatch.setenv("HOOKFLASH_SAFETY_DESTINATION", target)
    assert "safety_destination" in "\n".join(problems())


def test_caps_and_currency_of_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_COST_PER_CALL", "0.50")
    assert load_settings().cost.per_call == Decimal("0.50")
    written("cost: {per_day: -1, currency: dollars}\n")
    monkeypatch.setenv("HOOKFLASH_COST_PER_CALL", "0,50")
    assert sorted(problems()) == [
        "cost.currency = 'dollars' (hookflash.yaml:1): must be a currency such as USD or EUR",
        "cost.per_call = '0,50' (HOOKFLASH_COST_PER_CALL): must be a valid decimal",
        "cost.per_day = -1 (hookflash.yaml:1): must be greater than 0",
    ]


def test_a_number_without_quotes_is_explained() -> None:
    written("caller_id: +14155550100")
    assert problems() == ["caller_id = 14155550100 (hookflash.yaml:1): must be text: put it in quotes"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("asterisk:\n  password: oops\n", "asterisk.password (hookflash.yaml:2): a secret must not stand in a"),
        ("voices: {openai: {api_key: oops}}", "set HOOKFLASH_VOICES_OPENAI_API_KEY, or voices.openai.api_key_file"),
        ("database: {url: 'postgresql://u:oops@h/d'}", "set HOOKFLASH_DATABASE_URL, or database.url_file"),
        ("asterisk: {password_file: /nowhere}", "cannot read /nowhere, named by hookflash.yaml:1"),
        ("asterisk: {password_file: [1]}", "must be the name of a file"),
        ("- a\n- b", "hookflash.yaml:1: settings are written `name: value`"),
        ("a: [", "hookflash.yaml:1:5: not YAML"),
        ("name: a\nname: b", "hookflash.yaml:2: name stands in the file twice"),
        ("http: {port: 1}\nhttp: {port: 2}", "hookflash.yaml:2: http stands in the file twice"),
        ("a: &a {b: *a}", "nested too deep"),
        ("voices: {openai: 3}", "voices.openai = 3 (hookflash.yaml:1): must be a valid dictionary"),
        ("record: {transcripts: maybe}", "record.transcripts = 'maybe' (hookflash.yaml:1): must be a valid boolean"),
        ("asterisk: {url: 'http://u:p@h:8088'}", "set asterisk.user and asterisk.password"),
        ("drain_timeout: -1", "drain_timeout = -1 (hookflash.yaml:1): must be greater than or equal to 0"),
        ("drain_timeout: soon", "must be a valid number"),
        ("keep: {records: 90}", "keep.records = 90 (hookflash.yaml:1): must be a number of days such as 90d"),
        ("keep: {audit: 12h}", "must be a number of days such as 90d"),
        ("keep: {recordings: 0d}", "must be a number of days such as 90d"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_clear_message(text: str, says: str) -> None:
    written(text)
    said = problems()
    assert any(says in line for line in said), said
    assert "oops" not in "\n".join(said)


def test_a_file_that_is_named_but_missing_or_binary() -> None:
    assert problems(Path("gone.yaml")) == ["cannot read the settings file gone.yaml: No such file or directory"]
    Path("bin.yaml").write_bytes(b"\xff\xfe\x00")
    assert problems(Path("bin.yaml")) == ["the settings file bin.yaml is not UTF-8 text"]


def test_a_secret_of_the_wrong_kind_is_not_shown() -> None:
    written("voices: {openai: {model: [1, 2]}}\nasterisk: {password_file: x}")
    Path("x").write_text("sesame")
    assert "sesame" not in "\n".join(problems())


def test_ari_in_the_url_is_taken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_ASTERISK_URL", "https://pbx.example:8089/ari/")
    assert load_settings().asterisk.url == "https://pbx.example:8089"


def test_a_misspelt_variable_is_pointed_at_and_kubernetes_own_are_not() -> None:
    environ = {
        "HOOKFLASH_ASTERISK_PASWORD": "x",
        "HOOKFLASH_ASTERISK_PASSWORD_FILE": "x",
        "HOOKFLASH_SERVICE_HOST": "10.0.0.1",
        "HOOKFLASH_PORT_8070_TCP_ADDR": "10.0.0.1",
        "HOOKFLASH_VOICES_OPENAI_MODEL": "m",
        "PATH": "/",
    }
    assert unknown_variables(environ) == [
        "HOOKFLASH_ASTERISK_PASWORD is no setting (did you mean HOOKFLASH_ASTERISK_PASSWORD?)"
    ]


def test_operators_find_every_setting_and_metric_in_their_guide() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
    settings = {variable(path) for path, _ in described()}
    assert {name for name in settings if f"`{name}`" not in guide} == set()
    metrics = {
        family.name.removeprefix("hookflash_")
        for family in Metrics(CollectorRegistry()).registry.collect()
        if family.name.startswith("hookflash_")
    }
    told = set(re.findall(r"`([a-z_]+?)(?:_total)?`", guide)) | {"build"}
    assert metrics - told == set()
