"""The modes with a model over a real socket: `chat` and an emulated server, judged by the vendor's types."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from tests.emulators.chat_completions import Answer, Emulator, Faults
from tests.engine.scenario.folder import HEAD, MOCKS, write

TALK = HEAD + MOCKS + 'script:\n  - press: "1"\n'
BUYS = (
    "  - caller: A pizza? And I take it.\n    converse: {tools: {price: {dish: pizza}}, exit: ordered, data: pizza}\n"
)
PRICE = Answer("One moment.", calls=(("call_1", "price", '{"dish": "pizza"}'),))
FINISH = Answer(calls=(("call_2", "finish", '{"exit": "ordered", "data": "a pizza"}'),))


async def run(folder: Path, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setenv("HOOKFLASH_VOICES_CHAT_BASE_URL", emulator.url)
    monkeypatch.setenv("HOOKFLASH_VOICES_CHAT_API_KEY", "k")
    monkeypatch.setenv("HOOKFLASH_VOICES_CHAT_MODEL", "m")
    monkeypatch.setenv("HOOKFLASH_TEXT", "chat")
    monkeypatch.chdir(folder)
    result = await asyncio.to_thread(CliRunner().invoke, main, ["test", str(folder), *arguments])
    assert emulator.oracle.problems == []
    async with asyncio.timeout(5):
        await emulator.idle.wait()
    return result


async def test_tools_and_exits_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, TALK + BUYS)
    async with Emulator([PRICE, FINISH], api_key="k") as emulator:
        result = await run(tmp_path, emulator, monkeypatch, "--mode", "model")
    assert result.exit_code == 0, result.output
    assert "(1 of 1 runs passed; 2 answers, 40 tokens read, 14 written)" in result.output
    told = emulator.requests[1]["messages"]
    assert [message["role"] for message in told[-3:]] == ["user", "assistant", "tool"]
    assert told[-1]["content"] == '{"price": 9}'
    assert {tool["function"]["name"] for tool in emulator.requests[0]["tools"]} == {"price", "finish"}


async def test_a_server_that_is_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, TALK + BUYS)
    faults = Faults(statuses=(429, 503), headers={"Retry-After": "0"})
    async with Emulator([PRICE, FINISH], faults=faults) as emulator:
        result = await run(tmp_path, emulator, monkeypatch, "--mode", "model")
    assert result.exit_code == 0, result.output
    assert len(emulator.requests) == 4


async def test_a_key_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, TALK + BUYS)
    async with Emulator([PRICE], api_key="another") as emulator:
        result = await run(tmp_path, emulator, monkeypatch, "--mode", "model")
    assert result.exit_code == 1
    assert "expected: the model answers\n" in result.output
    assert "chat answered HTTP 401 (invalid_api_key): the API key is wrong or missing" in result.output
    assert len(emulator.requests) == 1


async def test_arguments_that_are_no_json_fail_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, TALK + BUYS)
    junk = Answer(calls=(("call_1", "price", '{"dish": '),))
    async with Emulator([junk]) as emulator:
        result = await run(tmp_path, emulator, monkeypatch, "--mode", "model")
    assert result.exit_code == 1
    assert "the model calls the tool 'price' with arguments that are no JSON" in result.output


async def test_a_simulated_caller_and_a_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test = (
        HEAD + MOCKS + "simulate: {brief: You are Ada.}\nmust: [{hangup: {by: caller}}]\njudge: [Ada said goodbye.]\n"
    )
    write(tmp_path, test)
    verdict = json.dumps({"verdicts": [{"criterion": 1, "reason": "She said so.", "met": True}]})
    leaves = Answer("Goodbye.", calls=(("call_1", "hang_up", "{}"),))
    async with Emulator([leaves, Answer(verdict)]) as emulator:
        result = await run(tmp_path, emulator, monkeypatch, "--mode", "simulated")
    assert result.exit_code == 0, result.output
    asked = emulator.requests[1]["response_format"]["json_schema"]
    assert asked["strict"] is True
    assert 'caller says "Goodbye."' in emulator.requests[1]["messages"][1]["content"]
