from __future__ import annotations

import asyncio

import pytest

from engine.virtual import (
    Calls,
    Fails,
    Says,
    Stalls,
    VirtualProvider,
    VirtualVoice,
    virtual_time,
)  # fmt: skip
from engine.virtual.words import spoken
from providers.voice import (
    Audio,
    Failed,
    Session,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    TurnDone,
    UserText,
    VoiceError,
    VoiceEvent,
)  # fmt: skip

# ── The voice ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def gather_events(voice: VirtualVoice, seconds: float) -> list[VoiceEvent]:
    found: list[VoiceEvent] = []
    try:
        async with asyncio.timeout(seconds):
            async for event in voice.events():
                if not isinstance(event, Audio):
                    found.append(event)
                elif not found or not isinstance(found[-1], Audio):
                    found.append(Audio(b"", event.item))
    except TimeoutError:
        pass
    return found


async def hear(voice: VirtualVoice, text: str, ms: int) -> None:
    audio = spoken(text, ms)
    for start in range(0, len(audio), 160):
        await asyncio.sleep(0.02)
        await voice.send_audio(audio[start : start + 160])


@virtual_time
async def test_a_voice_answers_from_its_script_and_calls_tools() -> None:
    provider = VirtualProvider([[Calls("price", {"size": "L"})], [Says("Nine dollars", 500), Calls("finish")]])
    voice = provider.voice(Session())
    await voice.connect()
    await hear(voice, "How much?", 800)
    events = await gather_events(voice, 2)
    started, stopped, text, call, done = events
    assert (started, stopped) == (SpeechStarted(), SpeechStopped())
    assert isinstance(text, UserText)
    assert text.text == "How much?"
    assert isinstance(call, ToolCall)
    assert (call.name, call.arguments) == ("price", {"size": "L"})
    assert isinstance(done, TurnDone)
    assert done.item is None
    await voice.tool_result(call.id, '{"usd": 9}')
    spoke, _, finish, done = await gather_events(voice, 2)
    assert isinstance(spoke, Audio)
    assert isinstance(finish, ToolCall)
    assert isinstance(done, TurnDone)
    assert done.item == spoke.item
    assert voice.results == [("price", '{"usd": 9}', True)]
    assert voice.heard == ["How much?"]
    await voice.close()
    assert voice.closed


@virtual_time
async def test_a_voice_that_is_spoken_over_stops() -> None:
    provider = VirtualProvider([[Says("Sorry?", 400)]])
    voice = provider.voice(Session())
    await voice.say("A very long greeting " * 20)
    events = await gather_events(voice, 0.5)
    assert all(isinstance(event, Audio) for event in events)
    await hear(voice, "Stop", 300)
    events = [event for event in await gather_events(voice, 2) if not isinstance(event, Audio)]
    assert events[:2] == [SpeechStarted(), TurnDone("interrupted", item="item1")]
    assert isinstance(events[-1], TurnDone)
    assert events[-1].item == "item2"


@virtual_time
async def test_a_voice_stalls_fails_and_ends_as_told() -> None:
    provider = VirtualProvider([[Stalls()], [Fails("gone", "boom")]])
    voice = provider.voice(Session())
    await hear(voice, "One", 300)
    await asyncio.sleep(30)
    await hear(voice, "Two", 300)
    events = await gather_events(voice, 60)
    assert events[-1] == Failed("gone", "boom")
    assert voice.closed
    stranger = provider.voice(Session())
    await hear(stranger, "Three", 300)
    failed = (await gather_events(stranger, 60))[-1]
    assert isinstance(failed, Failed)
    assert "no reply left to 'Three'" in failed.message


@virtual_time
async def test_a_voice_that_cannot_be_reached_or_does_not_listen() -> None:
    with pytest.raises(VoiceError, match="refused"):
        await VirtualProvider(connects_after=VoiceError("refused")).voice(Session()).connect()
    deaf = VirtualProvider(deaf=True).voice(Session())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(deaf.send_audio(bytes(160)), 60)


@virtual_time
async def test_turns_end_after_a_pause_and_not_before() -> None:
    provider = VirtualProvider([[Says("Yes", 300)]], pause=0.5)
    voice = provider.voice(Session())
    await hear(voice, "I would", 300)
    await asyncio.sleep(0.4)
    await hear(voice, "like pizza", 300)
    events = await gather_events(voice, 5)
    assert [type(event) for event in events].count(SpeechStopped) == 1
    assert voice.heard == ["I would like pizza"]
