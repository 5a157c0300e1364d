"""``hookflash replay`` as people type it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.record import CallRecord
from engine.records import Records
from engine.scenario import run_scenario
from tests.engine.replay.test_replay_examples import EXAMPLES, SCENARIOS

HOTLINE = EXAMPLES / "hotline"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("HOOKFLASH_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def store(url: str = "sqlite:///var/hookflash.db", **changes: object) -> CallRecord:
    """A call of the hotline on record: a gold customer reached the front of the house."""
    scenario = next(one for one in SCENARIOS if one.file.parent == HOTLINE and "gold customer" in one.name)
    record = run_scenario(scenario).record
    assert record is not None
    record = record.model_copy(update=changes)

    async def save() -> None:
        async with Records.open(url) as opened:
            await opened.save(record)

    asyncio.run(save())
    return record


def test_a_call_becomes_a_file_that_hookflash_test_runs(tmp_path: Path) -> None:
    store()
    assert run("replay", "test-c", "-o", "gold.test.yaml").output == ""
    tested = run("test", "--flows", str(HOTLINE), "gold.test.yaml")
    assert (tested.exit_code, "1 passed, 0 failed" in tested.output) == (0, True)
    assert run("fmt", "--check", "gold.test.yaml").exit_code == 0
    said = (tmp_path / "gold.test.yaml").read_text()
    assert 'path: "/customers/12345678"' in said
    assert 'press: "12345678"' in said
    assert "plan: gold" in said


def test_it_is_printed_and_compared(tmp_path: Path) -> None:
    store("sqlite:///elsewhere.db")
    result = run("replay", "test-call", "--database", "sqlite:///elsewhere.db", "--against", str(HOTLINE))
    assert result.exit_code == 0
    assert result.stdout.startswith("# Made by `hookflash replay` from the call test-call")
    assert "ok    call test-call of " in result.stderr
    assert "= step: transfer, outcome: connected" in result.stderr


def test_a_flow_that_was_changed_is_told_beside_what_was_expected(tmp_path: Path) -> None:
    store()
    for file in HOTLINE.glob("*.yaml"):
        if not file.name.endswith(".test.yaml"):
            (tmp_path / file.name).write_text(file.read_text().replace("'gold'", "'silver'"))
    result = run("replay", "test-call", "--against", str(tmp_path))
    assert result.exit_code == 1
    assert "FAIL  call test-call" in result.stderr
    assert "! step: transfer, outcome: connected" in result.stderr or "actual: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("test-call", "-o", "gold.yaml"), "a test's file is called *.test.yaml"),
        (("test-call", "-o", "no/gold.test.yaml"), "there is no folder no"),
        (("nothing",), "no call 'nothing'"),
        (("test-call", "--database", "sqlite:///none.db"), "there are no call records: none.db does not exist"),
        (("test-call", "--database", "what"), "is not a URL"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    store()
    result = run("replay", *arguments)
    assert (result.exit_code, said in result.output, result.output.count("\n")) == (2, True, 1)
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    store()
    (tmp_path / "gold.test.yaml").write_text("filled in by hand")
    result = run("replay", "test-call", "-o", "gold.test.yaml")
    assert (result.exit_code, "is there already" in result.output) == (2, True)
    assert (tmp_path / "gold.test.yaml").read_text() == "filled in by hand"


def test_a_call_that_is_not_over_cannot_be_replayed() -> None:
    store(outcome="live", ended=None)
    result = run("replay", "test-call")
    assert (result.exit_code, "is not over yet" in result.output) == (2, True)


def test_flows_that_lack_the_call_are_told(tmp_path: Path) -> None:
    store()
    result = run("replay", "test-call", "--against", str(EXAMPLES / "demo"))
    assert (result.exit_code, "unknown flow 'hotline/support'" in result.stderr) == (2, True)
