"""`hookflash test --mode model|simulated` as its users see it: words, exit status, pass rates, JUnit, Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from tests.engine.scenario import plugin
from tests.engine.scenario.folder import HEAD, MOCKS, write
from tests.engine.scenario.thinker import Answer, Asked, Thinker

TEST = HEAD + MOCKS + "script:\n" + '  - press: "1"\n  - caller: A pizza.\n    converse: {exit: ordered, data: pizza}\n'
SIMULATED = HEAD.replace("test: it", "test: Ada") + MOCKS + "simulate: {brief: You are Ada.}\nmust: [{says: Press}]\n"
GOOD = ("finish", {"exit": "ordered", "data": "a pizza"})
BAD = ("finish", {"exit": "person"})
MODEL = ("--mode", "model", "--provider", "thinker")


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin.install(tmp_path / "site", monkeypatch)
    monkeypatch.setenv("HOOKFLASH_VOICES_THINKER_API_KEY", "k")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    folder = tmp_path / "flows"
    folder.mkdir()
    write(folder, TEST)
    return folder


def run(monkeypatch: pytest.MonkeyPatch, model: Thinker | None, *arguments: str | Path) -> Result:
    monkeypatch.setattr(plugin, "thinking", model)
    return CliRunner().invoke(main, ["test", *map(str, arguments)])


def test_a_model_plays_the_ai(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin.closed.clear()
    result = run(monkeypatch, Thinker([GOOD]), flows, *MODEL)
    assert result.exit_code == 0, result.output
    assert "  ok    it  (1 of 1 runs passed; 1 answer, 100 tokens read, 10 written)\n" in result.output
    assert "1 passed, 0 failed; 35 % covered; 1 answer, 100 tokens read, 10 written\n" in result.output
    assert plugin.closed == ["thinker"]


def test_two_of_three(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flaky = [GOOD, BAD, GOOD]
    result = run(monkeypatch, Thinker(flaky), flows, *MODEL, "--runs", "3")
    assert result.exit_code == 1
    assert "  FAIL  it  (2 of 3 runs passed; 3 answers, 300 tokens read, 30 written)\n" in result.output
    assert "actual:   it took the exit person\n" in result.output
    assert "0 passed, 1 failed" in result.output
    result = run(monkeypatch, Thinker(flaky), flows, *MODEL, "--runs", "3", "--pass-rate", "0.6")
    assert result.exit_code == 0
    assert "  ok    it  (2 of 3 runs passed, 60% wanted; " in result.output
    assert "in another run: " in result.output
    assert "expected the AI takes the exit ordered; it took the exit person\n" in result.output
    result = run(monkeypatch, Thinker(flaky), flows, *MODEL, "--runs", "3", "--pass-rate", "0.7")
    assert result.exit_code == 1


def test_junit_holds_runs_and_pass_rate(flows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (flows / "z.test.yaml").write_text(SIMULATED.lstrip())
    file = tmp_path / "junit.xml"
    run(monkeypatch, Thinker([GOOD, BAD, GOOD]), flows, *MODEL, "--runs", "3", "--junit", file)
    root = ET.parse(file).getroot()
    assert root.attrib == {"tests": "2", "failures": "1", "errors": "0"}
    values = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert values == {
        "runs": "3", "passed": "2", "pass_rate": "0.667", "pass_rate_wanted": "1.000", "tokens_read": "300",
        "tokens_written": "30",
    }  # fmt: skip
    assert [skipped.get("message") for skipped in root.iter("skipped")] == ["needs --mode simulated"]
    assert [suite.get("skipped") for suite in root.findall("testsuite")] == ["0", "1"]


def test_tests_that_need_another_mode_are_counted_and_change_nothing(
    flows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (flows / "z.test.yaml").write_text(SIMULATED.lstrip())
    result = run(monkeypatch, None, flows)
    assert result.exit_code == 0
    assert "  -     Ada  (needs --mode simulated)\n" in result.output
    assert "1 passed, 0 failed, 1 need --mode simulated; " in result.output

    def answer(asked: Asked) -> Answer:
        return "hang_up", {}

    result = run(monkeypatch, Thinker(answer), flows, "--mode", "simulated", "--provider", "thinker")
    assert result.exit_code == 0
    assert "  -     it  (needs --mode scripted)\n" in result.output
    assert "  ok    Ada  (1 of 1 runs passed; 1 answer, 100 tokens read, 10 written)\n" in result.output


def test_nothing_but_simulated_tests_is_no_mistake(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (flows / "shop.test.yaml").write_text(SIMULATED.lstrip())
    result = run(monkeypatch, None, flows)
    assert result.exit_code == 0
    assert "0 passed, 0 failed, 1 need --mode simulated; 0 % covered" in result.output


def test_a_failed_judgement_shows_reason_and_transcript(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (flows / "shop.test.yaml").write_text(SIMULATED.lstrip() + "judge: [The caller was greeted by name.]\n")

    def answer(asked: Asked) -> Answer:
        if asked.schema is not None:
            return '{"verdicts": [{"criterion": 1, "reason": "Nobody said Ada.", "met": false}]}'
        return ["Hello?", ("hang_up", {})]

    result = run(monkeypatch, Thinker(answer), flows, "--mode", "simulated", "--provider", "thinker")
    assert result.exit_code == 1
    assert "expected: The caller was greeted by name.\n" in result.output
    assert "actual:   the judge says no: Nobody said Ada.\n" in result.output
    assert 'caller says "Hello?"' in result.output
    beside = [line.split() for line in result.output.splitlines() if "! The caller was greeted by name." in line]
    assert beside[0][:2] == ["(the", "end)"]


def test_what_must_be_set_is_named(flows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(*arguments: str) -> str:
        result = run(monkeypatch, None, flows, "--mode", "model", *arguments)
        assert result.exit_code == 2
        return result.output

    assert "no text model is set: give --provider NAME, or set HOOKFLASH_TEXT (voices that have one: " in said()
    assert "thinker" in said()
    assert "unknown voice 'thinkr' (did you mean 'thinker'?)" in said("--provider", "thinkr")
    assert "the voice 'thinker' has no text model" in said("--provider", "thinker")
    monkeypatch.delenv("HOOKFLASH_VOICES_THINKER_API_KEY")
    assert "set HOOKFLASH_VOICES_THINKER_API_KEY" in said("--provider", "thinker")


def test_the_settings_name_provider_and_model(flows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("text: thinker\ntext_model: deep-1\n")
    model = Thinker([GOOD])
    result = run(monkeypatch, model, flows, "--mode", "model", "--config", config)
    assert result.exit_code == 0, result.output
    assert model.asked[0].model == "deep-1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--runs", "3"], "are for --mode model and --mode simulated"),
        (["--pass-rate", "0.5"], "are for --mode model and --mode simulated"),
        (["--provider", "thinker"], "are for --mode model and --mode simulated"),
        (["--mode", "model", "--watch"], "--watch runs scripted tests only"),
        (["--mode", "model", "--runs", "0"], "0 is not in the range"),
        (["--mode", "model", "--pass-rate", "0"], "0.0 is not in the range"),
        (["--mode", "modl"], "'modl' is not one of"),
    ],
)
def test_what_makes_no_sense_is_refused(
    flows: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(monkeypatch, None, flows, *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())


SLOW = """
import sys
from engine.cli import main
from tests.engine.scenario import plugin
from tests.engine.scenario.thinker import Thinker

def thinks(asked):
    print("asked", file=sys.stderr, flush=True)
    return "Too late."

plugin.thinking = Thinker(thinks, seconds=3600)
main()
"""


async def test_ctrl_c_ends_it_at_once(flows: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    tests = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLOW, "test", str(flows), *MODEL, "--runs", "6",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{root}"},
    )  # fmt: skip
    assert tests.stderr is not None
    async with asyncio.timeout(60):
        for _ in range(4):  # calls at once
            assert await tests.stderr.readline() == b"asked\n"
        tests.send_signal(signal.SIGINT)
        said = (await tests.communicate())[1].decode()
    assert tests.returncode == 130, said
    assert said == "interrupted; 0 passed, 0 failed\n"


QUICK = """
from engine.cli import main
from tests.engine.scenario import plugin
from tests.engine.scenario.test_scenario_modes import BAD, GOOD
from tests.engine.scenario.thinker import Thinker

plugin.thinking = Thinker([GOOD, BAD])
main()
"""


async def test_every_run_is_told_on_a_terminal(flows: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    ours, terminal = pty.openpty()
    try:
        tests = await asyncio.create_subprocess_exec(
            sys.executable, "-c", QUICK, "test", str(flows), *MODEL, "--runs", "2",
            stdout=asyncio.subprocess.DEVNULL, stderr=terminal,
            env={**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{root}"},
        )  # fmt: skip
        async with asyncio.timeout(60):
            assert await tests.wait() == 1
        said = os.read(ours, 10_000).decode()
    finally:
        os.close(ours)
        os.close(terminal)
    assert sorted(line.split(":")[1] for line in said.splitlines() if "  run " in line) == [" FAIL  it", " ok  it"]
