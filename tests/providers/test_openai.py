"""The OpenAI voice against the emulated provider, whose every frame the vendor's own types judge."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from providers import realtime_socket
from providers.openai import OpenAI
from providers.openai import provider as openai_provider
from providers.voice import (
    ALAW,
    Audio,
    AudioFormat,
    Expiring,
    Interrupted,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    TurnDone,
    Turns,
    UserText,
    Utterance,
    VoiceError,
    VoiceText,
)
from tests.emulators.openai_realtime import Call, Faults, Say, silence, tone
from tests.emulators.openai_realtime.sound import from_ulaw, tone_voice
from tests.providers.conftest import KEY, owned, session

Emulate = Callable[..., Any]
Make = Callable[..., OpenAI]
A_TURN = tone(300) + silence(700)
LOOKUP = Tool("lookup", "Price of a dish.", {"type": "object", "properties": {"dish": {"type": "string"}}})


async def test_configures_the_session(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate()
    wanted = session(
        voice="cedar",
        language="de-CH",
        model="gpt-realtime-2.1-mini",
        tools=(LOOKUP,),
        turns=Turns(min_delay=0.4, threshold=0.7, prefix_padding=0.2, interruptible=False),
        options={
            "noise_reduction": "far_field", "speed": 1.1, "reasoning_effort": "low", "max_output_tokens": 500,
            "keywords": ["Bella's"],
        },
    )  # fmt: skip
    async with owned(openai(emulator, transcription_model="gpt-live-transcribe").voice(wanted)) as owner:
        assert await owner.next(Ready) == Ready("sess_1")
    conversation = await emulator.conversation()
    assert conversation.request.query["model"] == "gpt-realtime-2.1-mini"
    assert conversation.request.headers["Authorization"] == f"Bearer {KEY}"
    assert "OpenAI-Beta" not in conversation.request.headers
    [update] = conversation.client_events
    assert update["session"] == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "You answer the telephone.",
        "reasoning": {"effort": "low"},
        "max_output_tokens": 500,
        "tools": [{
            "type": "function", "name": "lookup", "description": "Price of a dish.",
            "parameters": {"type": "object", "properties": {"dish": {"type": "string"}}},
        }],
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-live-transcribe", "language": "de", "keywords": ["Bella's"]},
                "noise_reduction": {"type": "far_field"},
                "turn_detection": {
                    "type": "server_vad", "create_response": True, "interrupt_response": False,
                    "threshold": 0.7, "silence_duration_ms": 400, "prefix_padding_ms": 200,
                },
            },
            "output": {"format": {"type": "audio/pcmu"}, "voice": "cedar", "speed": 1.1},
        },
    }  # fmt: skip


async def test_defaults_are_left_to_the_vendor(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate()
    async with owned(openai(emulator).voice(Session(options={"turn_detection": {"type": "semantic_vad"}}))):
        pass
    conversation = await emulator.conversation()
    assert conversation.request.query["model"] == "gpt-realtime-2.1"
    sent = conversation.client_events[0]["session"]
    assert "instructions" not in sent
    assert sent["audio"]["input"]["transcription"] == {"model": "gpt-transcribe"}
    assert sent["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad", "create_response": True, "interrupt_response": True,
    }  # fmt: skip


async def test_a_conversation(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(
        script=[Call("lookup", {"dish": "pizza"}), Say("It costs nine dollars.")], heard=["one pizza please"]
    )
    history = (Utterance("voice", "Hello."), Utterance("caller", "Hi."))
    async with owned(openai(emulator).voice(session(tools=(LOOKUP,), history=history))) as owner:
        await owner.voice.say("Good evening.")
        greeting = await owner.next(TurnDone)
        await owner.hear(A_TURN)
        call = await owner.next(ToolCall)
        await owner.voice.tool_result(call.id, '{"price": 9}')
        answer = await owner.next(TurnDone, 2)
    conversation = await emulator.conversation()
    assert (call.name, call.arguments) == ("lookup", {"dish": "pizza"})
    finals = [(event.text, event.item) for event in owner.of(VoiceText) if event.final]
    assert finals == [("Good evening.", greeting.item), ("It costs nine dollars.", answer.item)]
    for done, text in ((greeting, "Good evening."), (answer, "It costs nine dollars.")):
        assert done.status == "completed"
        spoken = b"".join(event.data for event in owner.of(Audio) if event.item == done.item)
        assert spoken == await tone_voice(text)
    assert [type(event) for event in owner.events if isinstance(event, SpeechStarted | SpeechStopped)] == [
        SpeechStarted, SpeechStopped,
    ]  # fmt: skip
    assert owner.of(UserText)[-1].text == "one pizza please"
    assert owner.of(UserText)[-1].final
    assert answer.usage.output_audio > 0
    assert bytes(conversation.audio) == A_TURN
    said = [event["item"] for event in conversation.client_events if event["type"] == "conversation.item.create"]
    assert [(item["role"], item["content"][0]["text"]) for item in said[:2]] == [
        ("assistant", "Hello."),
        ("user", "Hi."),
    ]
    assert said[2]["output"] == '{"price": 9}'


async def test_the_caller_interrupts(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(faults=Faults(late_deltas=5), pace=2.0)
    async with owned(openai(emulator).voice(session())) as owner:
        await owner.voice.say("A long story that goes on and on and on.")
        audio = await owner.next(Audio, 2)
        await owner.hear(tone(200))
        await owner.next(SpeechStarted)
        heard = len(owner.of(Audio))
        await owner.voice.truncate(audio.item, 150)
        assert (await owner.next(TurnDone)).status == "interrupted"
        truncation = await (await emulator.conversation()).expect("conversation.item.truncate")
        await owner.hear(silence(700))
        await owner.next(TurnDone, 1)
    assert owner.of(Interrupted)
    assert truncation["audio_end_ms"] == 150
    assert truncation["item_id"] == audio.item
    assert [event.item for event in owner.of(Audio)].count(audio.item) == heard


async def test_the_owner_interrupts(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(pace=2.0)
    async with owned(openai(emulator).voice(session())) as owner:
        await owner.voice.say("A long story that goes on and on and on.")
        audio = await owner.next(Audio)
        await owner.voice.interrupt()
        await owner.voice.truncate(audio.item, 100000)
        await owner.voice.say("Enough.")
        done = await owner.next(TurnDone, 1)
        conversation = await emulator.conversation()
        await conversation.expect("conversation.item.truncate")
    assert [event.status for event in owner.of(TurnDone)] == ["interrupted", "completed"]
    assert not owner.of(Interrupted)
    assert b"".join(event.data for event in owner.of(Audio) if event.item == done.item) == await tone_voice("Enough.")
    received = sum(len(event.data) for event in owner.of(Audio) if event.item == audio.item) // 8
    assert (await conversation.expect("conversation.item.truncate"))["audio_end_ms"] == received


async def test_says_one_thing_after_the_other(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(pace=50.0)
    async with owned(openai(emulator).voice(session())) as owner:
        await asyncio.gather(*(owner.voice.say(f"Number {number}.") for number in range(5)))
        await owner.voice.say("   ")
        await owner.next(TurnDone, 4)
    finals = [event.text for event in owner.of(VoiceText) if event.final]
    assert finals == [f"Number {number}." for number in range(5)]


async def test_the_last_result_of_a_step_asks_for_no_answer(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(script=[Call("finish", {"exit": "person"}), Say("Never.")])
    async with owned(openai(emulator).voice(session(tools=(LOOKUP,)))) as owner:
        await owner.hear(A_TURN)
        call = await owner.next(ToolCall)
        await owner.voice.tool_result(call.id, "{}", respond=False)
        conversation = await emulator.conversation()
        await conversation.expect("conversation.item.create")
    assert "response.create" not in [event["type"] for event in conversation.client_events]


async def test_updates_instructions_and_tools(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate()
    async with owned(openai(emulator).voice(session())) as owner:
        await owner.voice.update(instructions="Be brief.", tools=(LOOKUP,))
        await owner.voice.update(tools=())
        conversation = await emulator.conversation()
        await conversation.expect("session.update", 2)
    assert conversation.session["instructions"] == "Be brief."
    assert conversation.session["tools"] == []
    assert conversation.client_events[1]["session"]["tools"][0]["name"] == "lookup"
    assert len(owner.of(Ready)) == 1


@pytest.mark.parametrize(
    ("format", "name"), [(ALAW, "audio/pcma"), (AudioFormat("pcm16", 24000), "audio/pcm")], ids=["alaw", "pcm"]
)
async def test_other_formats_pass_as_they_are(emulate: Emulate, openai: Make, format: AudioFormat, name: str) -> None:
    emulator = await emulate()
    async with owned(openai(emulator).voice(session(format=format))) as owner:
        await owner.voice.say("Hello.")
        await owner.next(TurnDone)
        audio = from_ulaw(A_TURN, name)
        for start in range(0, len(audio), 960):
            await owner.voice.send_audio(audio[start : start + 960])
        await owner.next(TurnDone, 1)
    assert bytes((await emulator.conversation()).audio) == audio
    greeting = await tone_voice("Hello.")
    first = owner.of(TurnDone)[0].item
    spoken = b"".join(event.data for event in owner.of(Audio) if event.item == first)
    assert len(spoken) == pytest.approx(len(greeting) * (1 if format is ALAW else 6), rel=0.02)


async def test_audio_may_be_gathered(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate()
    async with owned(openai(emulator).voice(session(options={"batch_ms": 60}))) as owner:
        await owner.hear(tone(200))
        conversation = await emulator.conversation()
        assert await conversation.heard(180 * 8) == tone(200)[: 180 * 8]


async def test_a_session_that_expires_soon_says_so(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(faults=Faults(expires_in=50))
    async with owned(openai(emulator).voice(session())) as owner:
        expiring = await owner.next(Expiring)
    assert 40 < expiring.seconds <= 50
    assert len(owner.of(Expiring)) == 1


async def test_an_idle_session_lives_and_still_notices_its_end(
    emulate: Emulate, openai: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_socket, "HEARTBEAT", 0.05)
    async with owned(openai(await emulate()).voice(session())) as owner:
        voice: Any = owner.voice
        voice._notice_at = asyncio.get_running_loop().time() + 0.2
        assert 119 < (await owner.next(Expiring)).seconds <= 120
        await owner.voice.say("Hello.")
        assert (await owner.next(TurnDone)).status == "completed"


async def test_close_is_idempotent_and_the_voice_is_silent_after_it(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate()
    async with owned(openai(emulator).voice(session())) as owner:
        await owner.next(Ready)
    voice = owner.voice
    await voice.close()
    await voice.send_audio(A_TURN)
    await voice.say("Hello.")
    await voice.interrupt()
    await voice.truncate("item_1", 100)
    await voice.tool_result("call_1", "{}")
    await voice.update(instructions="x")
    conversation = await emulator.conversation()
    async with asyncio.timeout(2):
        await conversation.ended.wait()
    assert [event["type"] for event in conversation.client_events] == ["session.update"]
    assert conversation.socket.close_code == 1000


async def test_close_before_connect(emulate: Emulate, openai: Make) -> None:
    await openai(await emulate()).voice(session()).close()


async def test_fifty_conversations_leave_nothing_behind(emulate: Emulate, openai: Make) -> None:
    emulator = await emulate(pace=100.0, oracle=True)
    provider = openai(emulator)

    async def talk() -> None:
        async with owned(provider.voice(session())) as owner:
            await owner.voice.say("Hello.")
            await owner.next(TurnDone)

    await asyncio.gather(*(talk() for _ in range(50)))
    async with asyncio.timeout(2):
        for conversation in emulator.conversations:
            await conversation.ended.wait()
    assert len(emulator.conversations) == 50
    assert emulator.open_sessions == 0
    http = provider.http()
    assert http.connector is not None
    assert not http.connector._acquired


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (Session(format=AudioFormat("pcm16", 16000)), "at 24 kHz"),
        (
            Session(options={"noise_reductoin": "x"}),
            r"no option 'noise_reductoin' \(did you mean 'noise_reduction'\?\)",
        ),
        (Session(options={"speed": "fast"}), "'speed' of the openai voice must be int or float"),
        (Session(options={"batch_ms": True}), "must be int"),
    ],
)
def test_wrong_options_are_refused_before_the_call(wanted: Session, complaint: str) -> None:
    with pytest.raises(VoiceError, match=complaint):
        openai_provider({"api_key": KEY}).voice(wanted)


@pytest.mark.parametrize("base_url", ["api.openai.com", "ftp://x/v1", "wss://"])
def test_a_base_url_must_be_one(base_url: str) -> None:
    with pytest.raises(VoiceError, match="base_url"):
        openai_provider({"api_key": KEY, "base_url": base_url})


def test_the_key_shows_nowhere() -> None:
    provider = openai_provider({"api_key": KEY})
    voice = provider.voice(session())
    assert KEY not in repr(provider) + repr(voice) + str(provider) + str(voice)
    assert provider.name == "openai"
    assert provider.speaker() is None
