from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.record import CallRecord
from engine.records import Records
from engine.version import VERSION
from tests.engine.sample_record import full_record

NOW = datetime.now(UTC)


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("HOOKFLASH_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def store(*records: CallRecord) -> None:
    async def save() -> None:
        async with Records.open("sqlite:///var/hookflash.db") as opened:
            for record in records:
                await opened.save(record)

    asyncio.run(save())


@pytest.fixture
def three() -> None:
    store(
        full_record("aaa1", started=NOW - timedelta(minutes=5), ended=NOW),
        full_record("aab2", started=NOW - timedelta(hours=5), ended=NOW, flow="clinic", caller="+442071838750"),
        full_record("ccc3", started=NOW - timedelta(days=5), ended=None, outcome="lost", attempts=[]),
    )


def test_help_lists_every_command_and_shows_how_to_start() -> None:
    said = run("--help").output
    for command in ("serve", "check", "test", "demo", "doctor", "calls", "schema", "asterisk-config", "version"):
        assert f"\n  {command} " in said
    assert "hookflash demo" in said
    assert "..." not in said.partition("Commands:")[2]  # every summary fits
    assert "HOOKFLASH_ASTERISK_PASSWORD_FILE" in run("serve", "-h").output


@pytest.mark.parametrize("command", list(main.commands))
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert command == "version" or "hookflash " in result.output.partition("Options:")[2]


def test_help_is_fast_because_nothing_heavy_is_imported() -> None:
    heavy = "{'sqlalchemy', 'pydantic', 'aiohttp', 'rich', 'yaml', 'structlog', 'alembic'}"
    code = f"import sys, engine.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version() -> None:
    assert run("version").output.startswith(f"hookflash {VERSION}, Python 3.")
    assert run("--version").output == f"hookflash {VERSION}\n"


# ── calls ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_calls_of_nothing_make_no_database() -> None:
    assert run("calls").output == "No calls recorded yet.\n"
    assert json.loads(run("calls", "--json").output) == []
    result = run("calls", "show", "x")
    assert (result.exit_code, result.output) == (2, "hookflash: no calls recorded yet\n")
    assert not Path("var").exists()


@pytest.mark.usefixtures("three")
def test_calls_are_listed_newest_first() -> None:
    lines = run("calls").output.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["aaa1", "aab2", "ccc3"]
    assert "handed_off" in lines[1]
    assert "300.0 s" in lines[1]
    assert "lost" in lines[3]


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--flow", "clinic"], ["aab2"]),
        (["--outcome", "lost"], ["ccc3"]),
        (["--caller", "7183"], ["aab2"]),
        (["--since", "2h"], ["aaa1"]),
        (["--since", (NOW - timedelta(days=1)).isoformat()], ["aaa1", "aab2"]),
        (["-n", "2"], ["aaa1", "aab2"]),
        (["--flow", "none"], []),
    ],
)
def test_calls_filtered_as_json(filters: list[str], ids: list[str]) -> None:
    assert [record["id"] for record in json.loads(run("calls", "--json", *filters).output)] == ids


@pytest.mark.parametrize("when", ["yesterday", "5", "99999999d", "-1h", "2026-13-01"])
def test_a_moment_that_is_none_is_refused(when: str) -> None:
    result = run("calls", "--since", when)
    assert result.exit_code == 2
    assert "such as 2026-03-04" in result.output


@pytest.mark.usefixtures("three")
def test_one_call_is_told_as_a_timeline() -> None:
    said = run("calls", "show", "aaa").output
    for part in (
        "handed_off  by caller, cause 16 normal clearing, after 300.0 s",
        "+14155550199 to +14155550100",
        "pjsip:busy → busy (SIP 486, Q.850 17 user busy)",
        "say → done after 0.90 s  a.flow.yaml:3",
        "“Bonjour, ça va ?”  (interrupted)",
        "price → ok after 40 ms",
        "openai m: 2 turns, 100 audio tokens in, 3 cached",
        "setup 12 ms",
    ):
        assert part in said, said
    assert json.loads(run("calls", "show", "aaa", "--json").output)["id"] == "aaa1"


@pytest.mark.usefixtures("three")
def test_an_id_that_is_unknown_or_ambiguous_is_one_line() -> None:
    result = run("calls", "show", "aa")
    assert result.exit_code == 2
    assert result.output.startswith("hookflash: several calls begin with 'aa'")
    assert run("calls", "show", "zz").output.count("\n") == 1


def test_a_callers_words_cannot_command_the_terminal() -> None:
    record = full_record("evil", caller="\x1b]0;owned\x07")
    record.transcript[0].text = "[bold]not markup[/bold] \x1b[2J\r\n"
    store(record)
    for said in (run("calls").output, run("calls", "show", "evil").output):
        assert "\x1b" not in said
        assert "\x07" not in said
    assert "[bold]not markup[/bold]" in run("calls", "show", "evil").output


def test_a_database_that_is_none_is_one_line() -> None:
    Path("var").mkdir()
    Path("var/hookflash.db").write_bytes(b"this is no database at all" * 50)
    result = run("calls")
    assert result.exit_code == 2
    assert result.output.startswith("hookflash: cannot open the database sqlite")
    assert result.output.count("\n") == 1


# ── settings and faults ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("command", [["serve"], ["doctor"], ["calls"], ["asterisk-config", "out"]])
def test_wrong_settings_end_every_command_with_their_names(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_HTTP_PORT", "http")
    monkeypatch.setenv("HOOKFLASH_ASTERISK_URL", "pbx")
    result = run(*command)
    assert result.exit_code == 2
    assert result.output.splitlines() == [
        "hookflash: asterisk.url = 'pbx' (HOOKFLASH_ASTERISK_URL): must be a URL such as http://127.0.0.1:8088",
        "hookflash: http.port = 'http' (HOOKFLASH_HTTP_PORT): must be a valid integer",
    ]


def test_a_settings_file_that_is_missing_is_said() -> None:
    result = run("serve", "-c", "gone.yaml")
    assert (result.exit_code, result.output) == (
        2,
        "hookflash: cannot read the settings file gone.yaml: No such file or directory\n",
    )


def test_flows_that_are_missing_are_said() -> None:
    for command in ("serve", "check"):
        result = run(command, "gone.flow.yaml")
        assert result.exit_code == 2
        assert "'gone.flow.yaml' does not exist" in result.output


def test_doctor_without_an_asterisk_says_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOOKFLASH_ASTERISK_URL", f"http://127.0.0.1:{free.getsockname()[1]}")
        result = run("doctor")
        assert result.exit_code == 1
        assert result.output.startswith("error  Asterisk at 127.0.0.1")
        assert "cannot be reached" in result.output
        finding, *voices = json.loads(run("doctor", "--json").output)
        assert finding["level"] == "error"
        assert all("voice" in each["what"] for each in voices)
        Path("flows").mkdir(exist_ok=True)
        waits = "flow: till\nsteps: [{wait_for: {event: webhook, name: payment}, catch: []}]\n"
        Path("flows/till.flow.yaml").write_text(waits)
        finding = json.loads(run("doctor", "--json").output)[-1]
        assert finding["what"] == "till: waits for webhooks, which are all refused until events.token is set"
        monkeypatch.setenv("HOOKFLASH_EVENTS_TOKEN", "0123456789abcdef")
        assert len(json.loads(run("doctor", "--json").output)) == 1 + len(voices)


def test_check_knows_the_accounts_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.flow.yaml").write_text("flow: a\ndefaults: {account: acmee}\nsteps: [{hangup: {}}]\n")
    assert run("check", "a.flow.yaml").exit_code == 0, "without settings nobody can tell"
    monkeypatch.setenv("HOOKFLASH_ACCOUNTS_ACME_OPENAI_MODEL", "m")
    result = run("check", "a.flow.yaml")
    assert result.exit_code == 1
    assert "error[E302]: unknown account 'acmee' (did you mean 'acme'?)" in result.output


def test_doctor_tells_which_voices_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_ASTERISK_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("XAI_API_KEY", "xai-secret-key-1")
    monkeypatch.setenv("HOOKFLASH_ACCOUNTS_ACME_OPENAI_MODEL", "m")
    monkeypatch.setenv("HOOKFLASH_VOICE", "rehersal")
    Path("flows").mkdir(exist_ok=True)
    for name, head, provider in (("a", "{}", "grok"), ("b", "{account: acme}", "openai")):
        talk = f"- converse: {{provider: [{provider}, gemini], exits: {{a: {{}}}}}}\n  catch: []\n"
        Path(f"flows/{name}.flow.yaml").write_text(f"flow: {name}\ndefaults: {head}\nsteps:\n{talk}")
    output = run("doctor", "--json").output
    found = {finding["what"]: finding["level"] for finding in json.loads(output)}
    assert found["the voice grok is ready"] == "ok"
    told = {what.partition(":")[0]: (level, what) for what, level in found.items()}
    assert told["the voice gemini is used and not ready"][0] == "error"
    assert "set GEMINI_API_KEY" in told["the voice gemini is used and not ready"][1]
    assert told["the voice openai is not used and not ready"][0] == "ok"
    assert "HOOKFLASH_ACCOUNTS_ACME_OPENAI_" in told["the voice openai of account acme is used and not ready"][1]
    assert "did you mean 'rehearsal'" in told["the voice rehersal is used and not ready"][1]
    assert "xai-secret-key-1" not in output


# ── asterisk-config ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_configuration_is_written_once_and_overwritten_only_by_force() -> None:
    result = run("asterisk-config", "out")
    assert result.exit_code == 0
    assert "made now and shown once" in result.output
    users = Path("out/ari.conf")
    assert "[hookflash]" in users.read_text()
    assert users.stat().st_mode & 0o007 == 0  # nobody else reads a password
    before = users.read_text()
    refused = run("asterisk-config", "out")
    assert refused.exit_code == 2
    assert "overwrite with --force" in refused.output
    assert users.read_text() == before
    assert run("asterisk-config", "out", "--force").exit_code == 0
    assert users.read_text() != before


def test_the_password_of_the_settings_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_ASTERISK_PASSWORD", "tulips-in-may")
    result = run("asterisk-config", "out")
    assert "tulips" not in result.output
    assert not any("tulips" in file.read_text() for file in Path("out").iterdir())  # crypt by default


def test_choices_are_checked() -> None:
    Path("choices.yaml").write_text("trunks: [{name: carrier, host: sip.example, match: [203.0.113.0/24]}]\n")
    assert run("asterisk-config", "out", "--choices", "choices.yaml").exit_code == 0
    assert "carrier" in Path("out/pjsip.conf").read_text()
    Path("choices.yaml").write_text("trunks: [{name: 'a;b', host: sip.example}]\nrtp_strat: 5\n")
    result = run("asterisk-config", "other", "--choices", "choices.yaml")
    assert result.exit_code == 2
    assert "hookflash: choices.yaml: trunks.0.name: a name is letters" in result.output
    assert "hookflash: choices.yaml: rtp_strat: " in result.output
    assert not Path("other").exists()
    for text in ("- 1", "a: [", "\ufeff\x00"):
        Path("choices.yaml").write_text(text)
        result = run("asterisk-config", "other", "--choices", "choices.yaml")
        assert (result.exit_code, result.output[:10]) == (2, "hookflash:")


def test_single_choices_win_over_the_file_and_passwords_come_from_files() -> None:
    Path("secret").write_text("tulips-in-may\n")
    Path("choices.yaml").write_text(
        "sip: {port: 5062}\n"
        "trunks: [{name: carrier, host: sip.example, username: me, password_file: secret, register_with_peer: true}]\n"
    )
    words = ["--set", "sip.external_address=203.0.113.7", "--set", "sip.port=5070", "--set", "rtp_start=12000"]
    assert run("asterisk-config", "out", "--choices", "choices.yaml", *words).exit_code == 0
    pjsip = Path("out/pjsip.conf").read_text()
    assert "external_media_address=203.0.113.7" in pjsip
    assert "bind=0.0.0.0:5070" in pjsip
    assert "password=tulips-in-may" in pjsip
    assert "rtpstart=12000" in Path("out/rtp.conf").read_text()
    for word, said in (("sip.port", "write NAME=VALUE"), ("sip.port=x", "sip.port:"), ("trunks.a=1", "no group")):
        result = run("asterisk-config", "other", "--choices", "choices.yaml", "--set", word)
        assert (result.exit_code, said in result.output) == (2, True), result.output
    Path("secret").unlink()
    assert "cannot read secret" in run("asterisk-config", "other", "--choices", "choices.yaml").output


def test_a_made_password_goes_to_a_file_and_is_not_shown() -> None:
    result = run("asterisk-config", "out", "--make-password", "run/ari")
    assert result.exit_code == 0
    password = Path("run/ari").read_text()
    assert len(password) >= 32
    assert password not in result.output
    assert f"password={password}" in Path("out/ari.conf").read_text()
    assert Path("run/ari").stat().st_mode & 0o007 == 0
    assert run("asterisk-config", "again", "--make-password", "run/ari").exit_code == 0
    assert Path("run/ari").read_text() == password
    assert f"password={password}" in Path("again/ari.conf").read_text()
    Path("run/ari").write_bytes(b"\xff")
    assert "cannot read run/ari" in run("asterisk-config", "other", "--make-password", "run/ari").output


def test_a_folder_that_cannot_be_made_is_said() -> None:
    Path("file").write_text("")
    result = run("asterisk-config", "file/below")
    assert result.exit_code == 2
    assert "Not a directory" in result.output


def test_the_installed_command_answers_quickly() -> None:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from engine.cli import main; main()", "--help"], check=True, capture_output=True
    )
    assert time.perf_counter() - started < 2.0  # 0.1 s when the machine is idle


# ── check and schema ──────────────────────────────────────────────────────────────────────────────────────────────────

GOOD_FLOW = """\
flow: greeting
steps:
  - answer:
  - say: Hello.
  - hangup:
"""


def test_check_of_a_good_flow() -> None:
    Path("good.flow.yaml").write_text(GOOD_FLOW)
    result = run("check", "good.flow.yaml")
    assert (result.exit_code, result.output) == (0, "0 errors, 0 warnings; 1 flow can run\n")
    assert json.loads(run("check", ".", "--json").stdout) == []


def test_check_reports_every_mistake_with_its_place() -> None:
    Path("bad.flow.yaml").write_text(
        GOOD_FLOW.replace("say: Hello.", "sya: Hello.").replace("answer:", "answer: {x: 1}")
    )
    result = run("check", "bad.flow.yaml")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines[::3]] == ["bad.flow.yaml:3:14:", "bad.flow.yaml:4:5:"]
    assert lines[1:3] == ["    3 |   - answer: {x: 1}", "      |              ^"]
    assert "did you mean 'say'?" in lines[3]
    assert result.stderr == "2 errors, 0 warnings\n"
    problems = json.loads(run("check", "bad.flow.yaml", "--json").stdout)
    assert [(problem["line"], problem["severity"]) for problem in problems] == [(3, "error"), (4, "error")]


def test_schema_is_of_the_verbs_that_are_installed() -> None:
    schema = json.loads(run("schema").output)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "transfer" in json.dumps(schema)
