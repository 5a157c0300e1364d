"""The Gemini voice against its emulator, every frame judged by the vendor's own types."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from providers import gemini
from providers.gemini_schema import gemini_schema
from providers.sound import decode, encode
from providers.voice import (
    ULAW,
    Audio,
    Failed,
    Interrupted,
    Ready,
    Resumed,
    Tool,
    ToolCall,
    ToolCancelled,
    TurnDone,
    Usage,
    UserText,
    Utterance,
    VoiceError,
    VoiceText,
    Warned,
)
from tests.emulators.gemini_live import GeminiConversation, GeminiSurface
from tests.emulators.openai_realtime import Call, Empty, Emulator, Faults, Say, silence, tone
from tests.providers.conftest import KEY, Owner, owned, session

A_TURN = tone(300) + silence(900)
LOOKUP = Tool("lookup", "Price of a dish.", {"type": "object", "properties": {"dish": {"type": "string"}}})


@asynccontextmanager
async def at(wanted: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[tuple[Emulator, Owner]]:
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(Emulator(surface=GeminiSurface, talk=GeminiConversation, **options))
        provider = gemini.provider({"api_key": KEY, "base_url": f"ws://127.0.0.1:{emulator.port}"})
        stack.push_async_callback(provider.close)
        owner = await stack.enter_async_context(owned(provider.voice(session(**(wanted or {})))))
        yield emulator, owner
    assert emulator.oracle is not None
    assert emulator.oracle.problems == []


async def conversation(emulator: Emulator, number: int = 0) -> GeminiConversation:
    found = await emulator.conversation(number)
    assert isinstance(found, GeminiConversation)
    return found


async def test_greeting_question_and_answer() -> None:
    wanted = {"tools": (LOOKUP,), "language": "en-US", "voice": "Puck", "history": (Utterance("caller", "I am Ann."),)}
    async with at(wanted, script=[Say("Seven to nine.")], heard=["When do you open?"]) as (emulator, owner):
        assert await owner.next(Ready) == Ready("sess_1")
        setup = (await conversation(emulator)).setup
        assert setup is not None
        assert setup["model"] == "models/gemini-3.8-live"
        assert setup["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"] == "Puck"
        assert "I am Ann." in setup["systemInstruction"]["parts"][0]["text"]
        await owner.voice.say("Good day.")
        done = await owner.next(TurnDone)
        assert (done.status, done.item) == ("completed", "turn_1")
        assert done.usage == Usage(input_text=10, input_audio=30, output_audio=20, model="gemini-3.8-live")
        await owner.hear(A_TURN)
        await owner.next(TurnDone, 1)
        assert [text.text for text in owner.of(UserText) if text.final] == ["When do you open?"]
        assert [text.text for text in owner.of(VoiceText) if text.final] == ["Good day.", "Seven to nine."]
        assert owner.of((Failed, Warned)) == []


async def test_the_audio_is_converted_both_ways() -> None:
    async def thousand(_: str) -> bytes:
        return encode(struct.pack("<8000h", *(round(8000 * math.sin(math.pi * n / 4)) for n in range(8000))), ULAW)

    async with at(voice=thousand, pace=50.0) as (emulator, owner):
        await owner.voice.say("beep")
        await owner.next(TurnDone)
        heard = decode(b"".join(audio.data for audio in owner.of(Audio)), ULAW)
        assert abs(len(heard) // 2 - 8000) <= 80, "the same length, less what stays in the filter"
        assert level(heard, 8000, 1000) == pytest.approx(8000, rel=0.1)
        await owner.hear(await thousand(""))
        said = await (await conversation(emulator)).heard(31000)
        assert level(said, 16000, 1000) == pytest.approx(8000, rel=0.1)
        assert level(said, 16000, 7000) < 40, "no image"


def level(pcm: bytes, rate: int, hz: int) -> float:
    """The amplitude of one frequency."""
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)[200:]
    samples = samples[: len(samples) // 160 * 160]
    angle = 2 * math.pi * hz / rate
    real = sum(sample * math.cos(angle * n) for n, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(angle * n) for n, sample in enumerate(samples))
    return 2 * math.hypot(real, imaginary) / len(samples)


async def test_the_caller_interrupts() -> None:
    faults = Faults(late_deltas=0)
    async with at(script=[Say("Go on.")], pace=2.0, faults=faults) as (_, owner):
        await owner.voice.say("This is a long answer that goes on and on, and nobody hears it to its end.")
        await owner.next(Audio)
        await owner.hear(tone(300))
        await owner.next(Interrupted)
        assert (await owner.next(TurnDone)).status == "interrupted"
        await owner.hear(silence(900))
        assert (await owner.next(TurnDone, 1)).status == "completed"
        assert owner.of((Failed, Warned)) == []


async def test_an_interruption_that_nobody_made_changes_nothing() -> None:
    async with at(faults=Faults(phantom_speech_at_ms=10)) as (_, owner):
        await owner.next(Interrupted)
        await owner.voice.say("Good day.")
        assert (await owner.next(TurnDone)).status == "completed"


async def test_tools() -> None:
    script = [Call("lookup", {"dish": "soup"}, more=(Call("lookup", {"dish": "bread"}),)), Say("Six francs.")]
    async with at({"tools": (LOOKUP,)}, script=script) as (emulator, owner):
        await owner.hear(A_TURN)
        calls = [await owner.next(ToolCall), await owner.next(ToolCall, 1)]
        assert [dict(call.arguments) for call in calls] == [{"dish": "soup"}, {"dish": "bread"}]
        await owner.voice.tool_result(calls[0].id, '{"price": 6}')
        await owner.voice.tool_result(calls[1].id, '{"price": 2}')
        await owner.next(TurnDone)
        talk = await conversation(emulator)
        answers = [event["functionResponses"][0] for event in talk.client_events if event["type"] == "toolResponse"]
        assert [answer["response"] for answer in answers] == [{"output": {"price": 6}}, {"output": {"price": 2}}]
        assert {answer["name"] for answer in answers} == {"lookup"}
        await owner.voice.tool_result(calls[0].id, "{}")  # late, or twice: not sent
        assert len([event for event in talk.client_events if event["type"] == "toolResponse"]) == 2


async def test_a_call_that_the_model_takes_back() -> None:
    async with at({"tools": (LOOKUP,)}, script=[Call("lookup", {"dish": "soup"})]) as (emulator, owner):
        await owner.hear(A_TURN)
        call = await owner.next(ToolCall)
        (await conversation(emulator)).tell(toolCallCancellation={"ids": [call.id, "call_99"]})
        assert await owner.next(ToolCancelled) == ToolCancelled(call.id)
        assert len(owner.of(ToolCancelled)) == 1


async def test_the_session_goes_on_elsewhere_when_the_connection_must_end() -> None:
    async with at(script=[Say("Here I am.")], heard=["Are you there?"]) as (emulator, owner):
        await owner.voice.say("Good day.")
        await owner.next(TurnDone)
        await (await conversation(emulator)).go_away()
        await owner.next(Resumed)
        second = await conversation(emulator, 1)
        await second.expect("setup")
        assert second.setup is not None
        assert second.setup["sessionResumption"]["handle"].startswith("handle_")
        await owner.hear(A_TURN)
        await owner.next(TurnDone, 1)
        assert [text.text for text in owner.of(VoiceText) if text.final] == ["Good day.", "Here I am."]
        async with asyncio.timeout(2):
            await (await conversation(emulator)).ended.wait()
        assert owner.of((Failed, Warned)) == []


async def test_not_in_the_middle_of_a_word() -> None:
    async with at(pace=4.0) as (emulator, owner):
        await owner.voice.say("One.")
        await owner.next(TurnDone)
        await owner.voice.say("This goes on for a good while, so that there is time to leave.")
        await owner.next(Audio, len(owner.of(Audio)))
        await (await conversation(emulator)).go_away()
        await owner.next(Resumed)
        done = [index for index, event in enumerate(owner.events) if isinstance(event, TurnDone)]
        assert len(done) == 2
        assert done[1] < owner.events.index(owner.of(Resumed)[0])


async def test_a_lost_connection_is_continued() -> None:
    async with at() as (emulator, owner):
        await owner.voice.say("Good day.")
        await owner.next(TurnDone)
        await owner.voice.say("Good day again.")
        await owner.next(TurnDone, 1)  # so that the handle after the first turn has come
        await (await conversation(emulator)).drop()
        await owner.next(Resumed)
        await owner.voice.say("Still here.")
        await owner.next(TurnDone, 2)
        assert owner.of(Failed) == []


@pytest.mark.parametrize(
    ("faults", "code", "recoverable"),
    [
        (Faults(close_after_ms=10, close_code=1007), "close_1007", False),
        (Faults(close_after_ms=10, close_code=1008), "close_1008", False),
        (Faults(close_after_ms=10, close_code=1011), "close_1011", True),
        (Faults(drop_after_ms=10), "close_1006", True),
    ],
)
async def test_how_it_ends(faults: Faults, code: str, recoverable: bool) -> None:
    async with at(faults=faults) as (_, owner):
        failed = await owner.next(Failed)
        assert (failed.code, failed.recoverable) == (code, recoverable)


async def test_an_answer_that_does_not_come() -> None:
    async with at({"options": {"answer_timeout": 0.2}}, faults=Faults(stall=True)) as (_, owner):
        await owner.voice.say("Good day.")
        assert (await owner.next(Failed)).code == "stalled"


async def test_a_turn_without_a_word() -> None:
    async with at(script=[Empty()]) as (_, owner):
        await owner.hear(A_TURN)
        assert (await owner.next(TurnDone)).item is None


async def test_garbage_is_survived() -> None:
    async with at(faults=Faults(garbage=("{", b"\x00\xff", '{"serverContent": []}', "[]", "{}"))) as (_, owner):
        await owner.voice.say("Good day.")
        await owner.next(TurnDone)
        assert {warning.code for warning in owner.of(Warned)} == {"garbage"}


async def test_a_wrong_key() -> None:
    async with Emulator(surface=GeminiSurface, talk=GeminiConversation, api_key="another") as emulator:
        provider = gemini.provider({"api_key": KEY, "base_url": f"ws://127.0.0.1:{emulator.port}"})
        with pytest.raises(VoiceError, match="key is wrong or missing"):
            await provider.voice(session()).connect()
        await provider.close()


def test_what_is_missing_is_named() -> None:
    with pytest.raises(VoiceError, match="set GEMINI_API_KEY"):
        gemini.provider({})


def test_schemas_are_said_with_the_words_there_are() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["kind"],
        "$defs": {"place": {"type": "object", "properties": {"inside": {"$ref": "#/$defs/place"}}}},
        "properties": {
            "kind": {"const": "order"},
            "count": {"type": ["integer", "null"], "minimum": 1},
            "either": {"type": ["string", "number"]},
            "place": {"$ref": "#/$defs/place", "description": "Where."},
            "list": {"type": "array", "items": {"enum": ["a", 2]}},
        },
    }
    found = gemini_schema(schema)
    assert found["properties"]["kind"] == {"enum": ["order"], "type": "STRING"}
    assert found["properties"]["count"] == {"minimum": 1, "nullable": True, "type": "INTEGER"}
    assert found["properties"]["either"] == {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}]}
    assert found["properties"]["list"] == {"type": "ARRAY", "items": {"enum": ["a", "2"], "type": "STRING"}}
    assert found["properties"]["place"]["description"] == "Where."
    from google.genai.types import Schema

    Schema.model_validate(found)
