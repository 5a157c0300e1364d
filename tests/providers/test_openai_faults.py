"""Everything that a provider can do wrong, and the event or exception that comes of it."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from providers import realtime_socket
from providers.openai import OpenAI
from providers.openai import provider as openai_provider
from providers.voice import (
    Audio,
    Failed,
    Interrupted,
    Ready,
    SpeechStarted,
    ToolCall,
    TurnDone,
    VoiceError,
    VoiceText,
    Warned,
)
from tests.emulators.openai_realtime import Call, Empty, Fail, Faults, Say, silence, tone
from tests.emulators.openai_realtime.sound import tone_voice
from tests.providers.conftest import KEY, Owner, owned, session

Emulate = Callable[..., Any]
Make = Callable[..., OpenAI]
A_TURN = tone(300) + silence(700)


async def over(owner: Owner) -> None:
    async with asyncio.timeout(5):
        await owner.over.wait()


# ── connecting ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "advice", "recoverable"),
    [
        (401, "API key is wrong", False),
        (403, "may not use this model", False),
        (404, "no such model", False),
        (400, "check the model", False),
        (429, "too many requests", True),
        (500, "try again", True),
        (503, "try again", True),
        (302, "check the base URL", False),
    ],
)
async def test_an_http_status_instead_of_a_session(
    emulate: Emulate, openai: Make, status: int, advice: str, recoverable: bool
) -> None:
    voice = openai(await emulate(faults=Faults(http_status=status))).voice(session())
    with pytest.raises(VoiceError, match=f"HTTP {status}: .*{advice}") as raised:
        await voice.connect()
    assert raised.value.code == f"http_{status}"
    assert raised.value.recoverable == recoverable
    assert KEY not in str(raised.value) + repr(raised.value)
    assert raised.value.__suppress_context__
    await voice.close()


async def test_a_wrong_key(emulate: Emulate, openai: Make) -> None:
    with pytest.raises(VoiceError, match="HTTP 401: the API key is wrong"):
        await openai(await emulate(api_key="another")).voice(session()).connect()


async def test_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        provider = openai_provider({"api_key": KEY, "base_url": f"ws://127.0.0.1:{reserved.getsockname()[1]}/v1"})
        with pytest.raises(VoiceError, match=r"cannot be reached: .*; check the network and the base URL") as raised:
            await provider.voice(session()).connect()
        await provider.close()
    assert raised.value.code == "unreachable"
    assert raised.value.recoverable


@pytest.mark.parametrize("faults", [Faults(hang_upgrade=True), Faults(no_session=True)], ids=["upgrade", "session"])
async def test_no_answer(emulate: Emulate, openai: Make, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime_socket, "CONNECT_TIMEOUT", 0.1)
    with pytest.raises(VoiceError, match="did not answer within") as raised:
        await openai(await emulate(faults=faults)).voice(session()).connect()
    assert raised.value.recoverable


@pytest.mark.parametrize("faults", [Faults(hang_upgrade=True), Faults(no_session=True)], ids=["upgrade", "session"])
async def test_connecting_can_be_cancelled(emulate: Emulate, openai: Make, faults: Faults) -> None:
    emulator = await emulate(faults=faults)
    provider = openai(emulator)
    task = asyncio.create_task(provider.voice(session()).connect())
    if faults.no_session:
        await emulator.conversation()
    else:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    http = provider.http()
    assert http.connector is not None
    assert not http.connector._acquired


async def test_a_session_that_is_refused(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(faults=Faults(refuse_session=("invalid_value", "Invalid value: 'bob' for voice.")))
    with pytest.raises(VoiceError, match="refused the session: Invalid value: 'bob' for voice") as raised:
        await openai(emulator).voice(session(voice="bob")).connect()
    assert raised.value.code == "invalid_value"
    assert not raised.value.recoverable


# ── the connection ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_connection_is_cut(emulate: Emulate, openai: Make) -> None:
    async with owned(openai(await emulate(faults=Faults(drop_after_ms=30))).voice(session())) as owner:
        await over(owner)
        await owner.hear(A_TURN)
    assert owner.events[-1] == Failed("OpenAI lost the connection", "close_1006", recoverable=True)


@pytest.mark.parametrize(
    ("code", "recoverable"),
    [(1000, True), (1001, True), (1011, True), (1012, True), (1013, True), (1007, False), (1008, False), (4001, False)],
)
async def test_the_session_is_closed(emulate: Emulate, openai: Make, code: int, recoverable: bool) -> None:
    faults = Faults(close_after_ms=10, close_code=code, close_reason="because")
    async with owned(openai(await emulate(faults=faults)).voice(session())) as owner:
        await over(owner)
    text = f"OpenAI closed the session with code {code}: because"
    assert owner.events[-1] == Failed(text, f"close_{code}", recoverable=recoverable)


async def test_a_provider_that_stops_reading_loses_audio_and_then_the_session(
    emulate: Emulate, openai: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_socket, "SEND_TIMEOUT", 0.2)
    async with owned(openai(await emulate(faults=Faults(stop_reading=True))).voice(session())) as owner:
        async with asyncio.timeout(20):
            await owner.next(Ready)
            voice: Any = owner.voice
            while not voice._dropped:
                await voice.send_audio(b"\xff" * 8000)
                await asyncio.sleep(0)
            for _ in range(40):
                await voice.update(instructions="word " * 2000)
        await over(owner)
    assert [type(event) for event in owner.events[-2:]] == [Warned, Failed]
    assert "does not keep up" in owner.events[-2].message  # type: ignore[union-attr]
    assert owner.events[-1] == Failed("OpenAI read nothing for 0 s", "backlog", recoverable=True)


async def test_garbage_is_warned_about_and_survived(emulate: Emulate, openai: Make) -> None:
    garbage = ("", "nonsense", "[]", '{"type": 7}', '{"type": "response.done"}', b"\x00\x01binary", "[" * 5000)
    async with owned(openai(await emulate(faults=Faults(garbage=garbage))).voice(session())) as owner:
        await owner.voice.say("Hello.")
        assert (await owner.next(TurnDone)).status == "completed"
    warnings = owner.of(Warned)
    assert 5 <= len(warnings) <= len(garbage)
    assert {warning.code for warning in warnings} == {"garbage"}


async def test_text_that_is_not_utf_8_ends_the_session(emulate: Emulate, openai: Make) -> None:
    from aiohttp import WSMsgType

    emulator = await emulate()
    async with owned(openai(emulator).voice(session())) as owner:
        conversation = await emulator.conversation()
        await conversation.socket.send_frame(b"\xff\xfe", WSMsgType.TEXT)
        await over(owner)
    assert isinstance(owner.events[-1], Failed)
    assert owner.events[-1].code == "close_1007"


# ── the conversation ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "faults", [Faults(delay_ms=2), Faults(duplicate=True), Faults(burst=True), Faults(rate_limit=True)], ids=str
)
async def test_a_conversation_survives(emulate: Emulate, openai: Make, faults: Faults) -> None:
    emulator = await emulate(faults=faults, script=[Call("lookup"), Say("Nine dollars.")], pace=50.0)
    async with owned(openai(emulator).voice(session())) as owner:
        await owner.hear(A_TURN)
        call = await owner.next(ToolCall)
        await owner.voice.tool_result(call.id, "9")
        done = await owner.next(TurnDone, 1)
    assert b"".join(event.data for event in owner.of(Audio)) == await tone_voice("Nine dollars.")
    assert [event.text for event in owner.of(VoiceText) if event.final] == ["Nine dollars."]
    assert len(owner.of(ToolCall)) == 1
    assert done.status == "completed"
    limits = [warning for warning in owner.of(Warned) if warning.code == "rate_limit"]
    assert bool(limits) == faults.rate_limit


async def test_events_out_of_order_lose_no_audio(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(faults=Faults(out_of_order=True, burst=True))
    async with owned(openai(emulator).voice(session())) as owner:
        await owner.voice.say("One. Two.")
        await owner.next(TurnDone)
        await owner.voice.say("Three.")
        await owner.next(TurnDone, 1)
    spoken = sum(len(event.data) for event in owner.of(Audio))
    assert spoken == len(await tone_voice("One. Two.")) + len(await tone_voice("Three."))


async def test_late_audio_of_a_cancelled_answer_is_dropped(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(faults=Faults(late_deltas=20), pace=2.0)
    async with owned(openai(emulator).voice(session())) as owner:
        await owner.voice.say("A long story that goes on and on.")
        await owner.next(Audio)
        await owner.voice.interrupt()
        heard = len(owner.of(Audio))
        await owner.voice.say("Short.")
        done = await owner.next(TurnDone, 1)
    assert len([event for event in owner.of(Audio) if event.item != done.item]) == heard


async def test_speech_that_nobody_spoke(emulate: Emulate, openai: Make) -> None:
    """The provider goes on, but the caller's line was silenced: what is not heard counts as interrupted."""
    emulator = await emulate(faults=Faults(phantom_speech_at_ms=100), pace=5.0)
    async with owned(openai(emulator).voice(session())) as owner:
        await owner.voice.say("A long story that goes on and on.")
        await owner.next(SpeechStarted)
        heard = len(owner.of(Audio))
        done = await owner.next(TurnDone)
        await owner.voice.say("Hello?")
        assert (await owner.next(TurnDone, 1)).status == "completed"
    assert done.status == "interrupted"
    assert not owner.of(Interrupted)
    assert len([event for event in owner.of(Audio) if event.item == done.item]) == heard


async def test_a_turn_without_content(emulate: Emulate, openai: Make) -> None:
    async with owned(openai(await emulate(script=[Empty()])).voice(session())) as owner:
        await owner.hear(A_TURN)
        done = await owner.next(TurnDone)
    assert (done.status, done.item) == ("completed", None)


async def test_a_turn_that_fails(emulate: Emulate, openai: Make) -> None:
    async with owned(openai(await emulate(script=[Fail(), Say("Better.")])).voice(session())) as owner:
        await owner.hear(A_TURN)
        done = await owner.next(TurnDone)
        await owner.hear(A_TURN)
        assert (await owner.next(TurnDone, 1)).status == "completed"
    assert done.status == "failed"
    assert "server had an error" in done.detail


async def test_a_quota_that_runs_out_ends_the_session(emulate: Emulate, openai: Make) -> None:
    async with owned(openai(await emulate(script=[Fail("insufficient_quota", "Pay.")])).voice(session())) as owner:
        await owner.hear(A_TURN)
        await over(owner)
    assert owner.events[-2:] == [
        TurnDone("failed", usage=owner.events[-2].usage, detail="Pay."),  # type: ignore[union-attr]
        Failed("Pay.", "insufficient_quota"),
    ]


@pytest.mark.parametrize(
    ("error", "expected", "ends"),
    [
        (("invalid_value", "Bad."), Warned("Bad.", "invalid_value"), False),
        (("server_error", "Sorry."), Failed("Sorry.", "server_error", recoverable=True), False),
        (("session_expired", "60 minutes."), Failed("60 minutes.", "session_expired", recoverable=True), True),
        (("invalid_api_key", f"Wrong: {KEY}."), Failed("Wrong: ….", "invalid_api_key"), True),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_an_error_event(
    emulate: Emulate, openai: Make, error: tuple[str, str], expected: Any, ends: bool
) -> None:
    async with owned(openai(await emulate(faults=Faults(error=error))).voice(session())) as owner:
        assert await owner.next(type(expected)) == expected
        if ends:
            await over(owner)
        else:
            await owner.voice.say("Hello.")
            await owner.next(TurnDone)


@pytest.mark.parametrize("asked", [False, True], ids=["after speech", "when asked"])
async def test_an_answer_that_does_not_come(emulate: Emulate, openai: Make, asked: bool) -> None:
    emulator = await emulate(faults=Faults(stall=True))
    async with owned(openai(emulator).voice(session(options={"answer_timeout": 0.1}))) as owner:
        if asked:
            await owner.voice.say("Hello.")
        else:
            await owner.hear(A_TURN)
        stalled = await owner.next(Failed)
        assert stalled == Failed("OpenAI gave no answer within 0.1 s", "stalled", recoverable=True)
        conversation = await emulator.conversation()
        await owner.voice.say("Still there?")
        await conversation.expect("response.create", 1 if asked else 0)


async def test_a_provider_that_does_not_answer_pings_is_gone(
    emulate: Emulate, openai: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_socket, "HEARTBEAT", 0.1)
    async with owned(openai(await emulate(faults=Faults(stop_reading=True))).voice(session())) as owner:
        await owner.next(Ready)
        await owner.voice.send_audio(silence(20))
        await over(owner)
    assert owner.events[-1] == Failed("OpenAI lost the connection", "close_1006", recoverable=True)
