"""GPT-Live against its emulator, every frame judged by the vendor's own types."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from providers import gpt_live
from providers.duplex import LONGEST, pieces
from providers.voice import (
    ALAW,
    Audio,
    AudioFormat,
    Expiring,
    Failed,
    Interrupted,
    Ready,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    TurnDone,
    Turns,
    Usage,
    Used,
    UserText,
    Utterance,
    VoiceError,
    VoiceText,
    Warned,
)
from tests.emulators.chat_completions.server import Answer
from tests.emulators.gpt_live import LiveEmulator
from tests.emulators.openai_realtime import Call, Empty, Faults, Say, silence, tone
from tests.emulators.openai_realtime.sound import tone_voice
from tests.providers.conftest import KEY, Owner, owned, session

A_TURN = tone(300) + silence(900)
LOOKUP = Tool("lookup", "Price of a dish.", {"type": "object", "properties": {"dish": {"type": "string"}}})
FINISH = Tool("finish", "Ends the talk.", {"type": "object", "properties": {"exit": {"type": "string"}}})
LONG = "This is a long answer that goes on and on, and nobody wants to hear it to its very end."


@asynccontextmanager
async def at(wanted: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[tuple[LiveEmulator, Owner]]:
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(LiveEmulator(**options))
        provider = gpt_live.provider({"api_key": KEY, "base_url": emulator.url})
        stack.push_async_callback(provider.close)
        owner = await stack.enter_async_context(owned(provider.voice(session(**(wanted or {})))))
        yield emulator, owner
    assert emulator.oracle is not None
    assert (emulator.oracle.problems, emulator.worker.oracle.problems) == ([], [])
    assert emulator.oracle.checked


def said(owner: Owner) -> list[str]:
    return [text.text for text in owner.of(VoiceText) if text.final]


async def test_greeting_question_and_answer() -> None:
    wanted = {"tools": (LOOKUP,), "language": "de-DE", "voice": "cedar", "history": (Utterance("caller", "I am Ann."),)}
    async with at(wanted, script=[Say("Seven to nine.")], heard=["When do you open?"]) as (emulator, owner):
        assert await owner.next(Ready) == Ready("live_1")
        talk = await emulator.live()
        assert talk.request.query_string == "", "the model stands in the configuration"
        assert talk.settled["model"] == "gpt-live-1"
        assert talk.settled["audio"] == {"format": {"type": "audio/pcmu", "rate": 8000}, "output": {"voice": "cedar"}}
        assert talk.settled["delegation"] == {"type": "client"}
        assert [item["content"][0]["text"] for item in talk.settled["input"]] == ["I am Ann."]
        assert "You answer the telephone." in talk.settled["instructions"]
        assert "de-DE" in talk.settled["instructions"]
        assert "lookup: Price of a dish." in talk.settled["instructions"]
        await owner.voice.say("Good day.")
        done = await owner.next(TurnDone)
        assert (done.status, done.item) == ("completed", "utterance_1")
        await owner.hear(A_TURN)
        await owner.next(TurnDone, 1)
        assert [text.text for text in owner.of(UserText) if text.final] == ["When do you open?"]
        assert said(owner) == ["Good day.", "Seven to nine."]
        kinds = [type(event) for event in owner.events if isinstance(event, SpeechStarted | SpeechStopped | TurnDone)]
        assert kinds == [TurnDone, SpeechStarted, SpeechStopped, TurnDone]
        assert owner.of((Failed, Warned, Interrupted)) == []


@pytest.mark.parametrize(
    ("format", "name"),
    [(ALAW, "audio/pcma"), (AudioFormat("pcm16", 24000), "audio/pcm"), (AudioFormat("pcm16", 16000), "audio/pcm")],
)
async def test_the_audio_goes_straight_through(format: AudioFormat, name: str) -> None:
    async with at({"format": format}) as (emulator, owner):
        talk = await emulator.live()
        assert talk.settled["audio"]["format"] == {"type": name, "rate": format.rate}
        await owner.hear(b"\xd5\x55" * 80)
        assert await talk.heard(160) == b"\xd5\x55" * 80


async def test_what_is_heard_is_what_was_said_and_no_silence_in_between() -> None:
    async with at() as (_, owner):
        await owner.voice.say("Good day.")
        await owner.next(TurnDone)
        heard = b"".join(audio.data for audio in owner.of(Audio))
        assert {audio.item for audio in owner.of(Audio)} == {"utterance_1"}
        words = await tone_voice("Good day.")
        assert heard.startswith(silence(80) + words)
        assert heard.removeprefix(silence(80) + words).strip(b"\xff") == b""
        assert len(heard) - len(words) <= 8 * (80 + 600 + 200), "the silence that told its end"
        counted = len(owner.of(Audio))
        await owner.hear(silence(400))
        await owner.voice.say("Yes?")
        await owner.next(TurnDone, 1)
        assert owner.of(Audio)[counted].item == "utterance_2", "what came in between was silence, and is not played"


async def test_the_model_gives_way_by_itself_when_the_caller_speaks() -> None:
    async with at(script=[Say("Go on.")], heard=["Stop!"], pace=2.0) as (emulator, owner):
        await owner.voice.say(LONG)
        await owner.next(Audio)
        await owner.hear(tone(300))
        done = await owner.next(TurnDone)
        assert (done.status, done.item) == ("interrupted", "utterance_1")
        kinds = [type(event) for event in owner.events]
        assert kinds.index(SpeechStarted) < kinds.index(Interrupted) < kinds.index(TurnDone)
        assert len(said(owner)[0]) < len(LONG), "only what was begun is on record"
        assert (await emulator.live()).stopped == 1
        await owner.hear(silence(900))
        assert (await owner.next(TurnDone, 1)).status == "completed"
        assert owner.of((Failed, Warned)) == []
        sent = {event["type"] for event in (await emulator.live()).client_events}
        assert sent == {"session.start", "session.commentary.append"}, "nothing is cancelled, nothing truncated"


async def test_a_word_of_the_caller_does_not_stop_it() -> None:
    """A backchannel: the model hears it and goes on."""
    async with at(pace=4.0) as (emulator, owner):
        await owner.voice.say(LONG)
        await owner.next(Audio)
        (await emulator.live()).told("Mm-hm.")
        await owner.next(SpeechStopped)
        assert (await owner.next(TurnDone)).status == "completed"
        assert said(owner) == [LONG]
        assert owner.of(Interrupted) == []


async def test_a_caller_who_may_not_interrupt_is_not_heard_meanwhile() -> None:
    async with at({"turns": Turns(interruptible=False)}, pace=4.0) as (emulator, owner):
        await owner.voice.say(LONG)
        talk = await emulator.live()
        await talk.expect("session.input_audio.mute")
        await owner.hear(A_TURN)
        assert (await owner.next(TurnDone)).status == "completed"
        await talk.expect("session.input_audio.unmute")
        assert talk.stopped == 0


async def test_work_that_is_handed_on_uses_tools_and_is_spoken() -> None:
    work = [
        Answer("One moment.", calls=(("0", "lookup", '{"dish": "soup"}'), ("1", "lookup", '{"dish": "bread"}'))),
        Answer("The soup is six francs."),
    ]
    script = [Call("lookup", say="Let me see.")]
    wanted = {"tools": (LOOKUP, FINISH)}
    async with at(wanted, script=script, heard=["What is the soup?"], work=work) as (emulator, owner):
        await owner.hear(A_TURN)
        calls = [await owner.next(ToolCall), await owner.next(ToolCall, 1)]
        assert [dict(call.arguments) for call in calls] == [{"dish": "soup"}, {"dish": "bread"}]
        await owner.voice.tool_result(calls[1].id, '{"price": 2}')
        await owner.voice.tool_result(calls[0].id, '{"price": 6}')
        await owner.next(TurnDone, 2)  # what the text model used before the calls; two utterances
        talk = await emulator.live()
        first, second = [event for event in talk.client_events if event["type"] == "session.commentary.append"]
        assert (first["content"], second["content"]) == ("One moment.", "The soup is six francs.")
        assert first["delegation_id"] == second["delegation_id"] is not None
        asked, again = emulator.worker.requests
        assert "You answer the telephone." in asked["messages"][0]["content"]
        talked = json.loads(asked["messages"][1]["content"])
        assert talked[0] == {"caller": "What is the soup?"}
        assert [tool["function"]["name"] for tool in asked["tools"]] == ["lookup", "finish"]
        results = [message["content"] for message in again["messages"] if message["role"] == "tool"]
        assert results == ['{"price": 6}', '{"price": 2}'], "in the order of the calls"
        await owner.voice.tool_result(calls[0].id, "{}")  # late, or twice
        await owner.voice.tool_result("call_99", "{}")
        assert len(emulator.worker.requests) == 2
        assert owner.of((Failed, Warned)) == []


async def test_what_the_work_used_is_counted_once() -> None:
    work = [Answer(calls=(("0", "lookup", "{}"),)), Answer("Six francs.")]
    async with at({"tools": (LOOKUP,)}, script=[Call("lookup")], work=work) as (_, owner):
        await owner.hear(A_TURN)
        await owner.voice.tool_result((await owner.next(ToolCall)).id, "{}")
        await owner.next(TurnDone, 1)
        spent = [done.usage for done in owner.of(TurnDone)]
        one = Usage(input_text=20, cached=5, output_text=7, model="gpt-5.4-mini")
        assert spent == [one, one], "one answer with calls, one that is spoken"


async def test_pieces_of_work_come_one_after_the_other_and_know_of_each_other() -> None:
    work = [
        Answer(calls=(("0", "lookup", '{"dish": "soup"}'),)), Answer("Six francs."), Answer("It was ordered already."),
    ]  # fmt: skip
    async with at({"tools": (LOOKUP,)}, work=work) as (emulator, owner):
        await owner.next(Ready)
        talk = await emulator.live()
        first, second = talk.hand_on(), talk.hand_on()
        call = await owner.next(ToolCall)
        assert len(emulator.worker.requests) == 1, "the second waits"
        await owner.voice.tool_result(call.id, '{"price": 6}')
        await talk.expect("session.commentary.append", 1)
        told = [event for event in talk.client_events if event["type"] == "session.commentary.append"]
        assert [event["delegation_id"] for event in told] == [first, second], "however late, each names its own"
        assert 'lookup({"dish": "soup"}) said {"price": 6}' in emulator.worker.requests[2]["messages"][0]["content"]


async def test_a_farewell_is_heard_before_the_talk_ends() -> None:
    work = [Answer("Goodbye, Ann.", calls=(("0", "finish", '{"exit": "bye"}'),))]
    async with at({"tools": (FINISH,)}, script=[Call("finish")], heard=["Bye."], work=work) as (emulator, owner):
        await owner.hear(A_TURN)
        call = await owner.next(ToolCall)
        order = [type(event) for event in owner.events if isinstance(event, TurnDone | ToolCall)]
        assert order[:2] == [TurnDone, ToolCall]
        assert said(owner) == ["Goodbye, Ann."]
        await owner.voice.tool_result(call.id, '{"ok": true}', respond=False)
        await owner.next(TurnDone, len(owner.of(TurnDone)))
        assert len(emulator.worker.requests) == 1, "nothing more is asked"


async def test_an_exit_that_is_refused_is_answered() -> None:
    work = [Answer(calls=(("0", "finish", '{"exit": "nowhere"}'),)), Answer("What is your name?")]
    async with at({"tools": (FINISH,)}, script=[Call("finish")], work=work) as (_, owner):
        await owner.hear(A_TURN)
        await owner.voice.tool_result((await owner.next(ToolCall)).id, '{"error": "There is no such exit."}')
        await owner.next(TurnDone, 1)
        assert said(owner) == ["What is your name?"]


async def test_work_with_nothing_to_say_leaves_it_to_the_voice() -> None:
    async with at(work=[Answer("")]) as (emulator, owner):
        await owner.next(Ready)
        talk = await emulator.live()
        talk.hand_on()
        assert (await owner.next(TurnDone)).item is None
        assert {event["type"] for event in talk.client_events} == {"session.start"}


async def test_work_that_fails_is_excused() -> None:
    async with at(work=[Answer("no")]) as (emulator, owner):
        await owner.next(Ready)
        emulator.worker.api_key = "another"
        talk = await emulator.live()
        id = talk.hand_on()
        done = await owner.next(TurnDone)
        assert done.status == "failed"
        assert "API key is wrong" in done.detail
        assert KEY not in str(owner.events)
        excuse = await talk.expect("session.instructions.append")
        assert excuse["delegation_id"] == id
        assert [warning.code for warning in owner.of(Warned)] == ["work"]


async def test_a_model_that_only_calls_tools_is_stopped() -> None:
    async with at({"tools": (LOOKUP,)}, work=[Answer(calls=(("0", "lookup", "{}"),))]) as (emulator, owner):
        await owner.next(Ready)
        (await emulator.live()).hand_on()
        for number in range(8):
            await owner.voice.tool_result((await owner.next(ToolCall, number)).id, "{}")
        await owner.next(Warned)
        assert owner.of(TurnDone)[-1].status == "failed"


async def test_a_talk_that_ends_during_work_leaves_nothing() -> None:
    async with at({"tools": (LOOKUP,)}, work=[Answer(calls=(("0", "lookup", "{}"),))]) as (emulator, owner):
        await owner.next(Ready)
        (await emulator.live()).hand_on()
        await owner.next(ToolCall)
    assert emulator.open_sessions == 0
    assert emulator.worker.open == 0


async def test_the_vendors_own_text_model_can_do_the_work() -> None:
    script = [Call("lookup", {"dish": "soup"}, more=(Call("lookup", "no JSON"),)), Say("Six francs.")]
    options = {"delegation": "responses", "delegate_model": "gpt-5.4", "reasoning_effort": "low"}
    wanted = {"tools": (LOOKUP,), "options": options}
    async with at(wanted, script=script) as (emulator, owner):
        talk = await emulator.live()
        responses = talk.settled["delegation"]["responses"]
        assert (responses["model"], responses["reasoning"]) == ("gpt-5.4", {"effort": "low"})
        assert [tool["name"] for tool in responses["tools"]] == ["lookup"]
        await owner.hear(A_TURN)
        call = await owner.next(ToolCall)
        assert dict(call.arguments) == {"dish": "soup"}
        assert not [event for event in talk.client_events if event["type"] == "response.create"], "one is still open"
        await owner.voice.tool_result(call.id, '{"price": 6}')
        await owner.next(TurnDone)
        outputs = [event["item"]["output"] for event in talk.client_events if event["type"] == "response.item.create"]
        assert outputs[1] == '{"price": 6}'
        assert "no JSON object" in outputs[0]
        assert len([event for event in talk.client_events if event["type"] == "response.create"]) == 1
        assert said(owner) == ["Six francs."]
        assert owner.of(TurnDone)[0].usage == Usage(input_text=40, cached=10, output_text=8, model="gpt-5.4")
        await owner.voice.update(tools=(LOOKUP, FINISH))
        update = await talk.expect("session.update")
        tools = update["session"]["delegation"]["responses"]["tools"]
        assert [tool["name"] for tool in tools] == ["lookup", "finish"]
        assert len(owner.of(ToolCall)) == 1


async def test_it_is_told_what_is_new_and_goes_on() -> None:
    history = (Utterance("caller", "I am Ann."), Utterance("voice", "Hello Ann."))
    async with at({"history": history}, script=[Say("Nine dollars.")]) as (emulator, owner):
        await owner.voice.answer()
        await owner.next(TurnDone)
        talk = await emulator.live()
        roles = [(item["role"], item["content"][0]["type"]) for item in talk.settled["input"]]
        assert roles == [("user", "input_text"), ("assistant", "output_text")]
        assert said(owner) == ["Nine dollars."]
        await owner.voice.update(instructions="You answer the telephone.\n\nThe tool said six.")
        told = await talk.expect("session.instructions.append", 1)
        assert told["content"] == "The tool said six.", "instructions can be added to, not replaced"


async def test_a_stop_by_us_is_a_stop_of_the_sound() -> None:
    async with at(pace=4.0) as (_, owner):
        await owner.voice.say(LONG)
        await owner.next(Audio)
        await owner.voice.interrupt()
        counted = len(owner.of(Audio))
        assert (await owner.next(TurnDone)).status == "interrupted"
        assert len(owner.of(Audio)) <= counted + 1
        await owner.voice.say("Yes?")
        assert (await owner.next(TurnDone, 1)).status == "completed"


async def test_something_to_say_in_the_middle_of_an_utterance() -> None:
    async with at(pace=4.0) as (_, owner):
        await owner.voice.say(LONG)
        await owner.next(Audio)
        await owner.voice.say("One thing more.")
        await owner.next(TurnDone, 1)
        assert said(owner) == [LONG, "One thing more."]
        assert owner.of(Failed) == []


async def test_speech_that_does_not_come() -> None:
    async with at({"options": {"answer_timeout": 0.3}}, faults=Faults(stall=True)) as (_, owner):
        await owner.voice.say("Good day.")
        assert await owner.next(Failed) == Failed("nothing was spoken within 0.3 s", "stalled", recoverable=True)


async def test_a_model_that_has_nothing_to_say_owes_nothing() -> None:
    async with at({"options": {"answer_timeout": 0.2}}, script=[Empty()]) as (_, owner):
        await owner.hear(A_TURN)
        await owner.next(SpeechStopped)
        await owner.hear(silence(600))
        assert owner.of((Failed, TurnDone)) == []


async def test_the_end_is_asked_for_and_counted() -> None:
    async with at() as (emulator, owner):
        await owner.voice.say("Good day.")
        await owner.next(TurnDone)
        voice: Any = owner.voice
    talk = await emulator.live()
    await talk.expect("session.close")
    told = [*(event.usage for event in owner.of(Used)), *voice.settle()]
    assert {usage.model for usage in told} == {"gpt-live-1"}
    assert sum(usage.seconds_session for usage in told) == pytest.approx(talk._ms / 1000)
    assert list(voice.settle()) == []
    assert emulator.open_sessions == 0


async def test_its_time_is_told() -> None:
    async with at(faults=Faults(expires_in=60)) as (_, owner):
        await owner.voice.say("Good day.")
        assert (await owner.next(Expiring)).seconds == pytest.approx(60, abs=3)


async def test_a_service_that_says_nothing_more_is_left() -> None:
    async with at() as (emulator, owner):
        await owner.voice.say("Good day.")
        await owner.next(TurnDone)
        await owner.next(Used, len(owner.of(Used)) + 2)  # two seconds of silence
        await (await emulator.live()).fall_silent()
        assert (await owner.next(Failed)).code == "silent"
        async with asyncio.timeout(5):
            await owner.over.wait()
    assert emulator.open_sessions == 0


@pytest.mark.parametrize(
    ("reason", "recoverable"),
    [("expired", True), ("connection_lost", True), ("content", False), ("remote_hangup", False)],
)
async def test_a_session_that_the_service_ends(reason: str, recoverable: bool) -> None:
    async with at() as (emulator, owner):
        await owner.next(Ready)
        (await emulator.live()).end(reason)
        failed = await owner.next(Failed)
        assert (failed.code, failed.recoverable) == (f"closed_{reason}", recoverable)
        async with asyncio.timeout(5):
            await owner.over.wait()


@pytest.mark.parametrize(
    ("faults", "code", "recoverable"),
    [
        (Faults(close_after_ms=10, close_code=1008), "close_1008", False),
        (Faults(close_after_ms=10, close_code=1011), "close_1011", True),
        (Faults(drop_after_ms=10), "close_1006", True),
        (Faults(error=("insufficient_quota", f"You have used up {KEY}.")), "insufficient_quota", False),
        (Faults(error=("server_error", "Oh.")), "server_error", True),
    ],
)
async def test_how_it_ends(faults: Faults, code: str, recoverable: bool) -> None:
    async with at(faults=faults) as (_, owner):
        failed = await owner.next(Failed)
        assert (failed.code, failed.recoverable) == (code, recoverable)
        assert KEY not in failed.message


async def test_garbage_is_survived() -> None:
    garbage = ("{", b"\x00\xff", '{"type": "session.output_audio.delta"}', "[]", '{"type": "session.new_thing"}')
    async with at(faults=Faults(garbage=garbage)) as (_, owner):
        await owner.voice.say("Good day.")
        await owner.next(TurnDone)
        assert {warning.code for warning in owner.of(Warned)} == {"garbage"}
        assert len(owner.of(Warned)) == 4, "what is unknown is let pass"


async def test_a_burst_loses_nothing() -> None:
    async with at(faults=Faults(burst=True)) as (_, owner):
        await owner.voice.say(LONG)
        await owner.next(TurnDone)
        heard = b"".join(audio.data for audio in owner.of(Audio)).removeprefix(silence(80))
        assert heard.startswith(await tone_voice(LONG))


async def test_a_wrong_key_and_a_refused_session() -> None:
    async with LiveEmulator(api_key="another") as emulator:
        provider = gpt_live.provider({"api_key": KEY, "base_url": emulator.url})
        with pytest.raises(VoiceError, match="key is wrong or missing") as error:
            await provider.voice(session()).connect()
        assert KEY not in str(error.value)
        await provider.close()
    async with LiveEmulator(faults=Faults(refuse_session=("unknown_parameter", "Unknown parameter."))) as emulator:
        provider = gpt_live.provider({"api_key": KEY, "base_url": emulator.url})
        with pytest.raises(VoiceError, match=r"refused the session: Unknown parameter\."):
            await provider.voice(session()).connect()
        await provider.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"delegation": "decisions"}, "must be client or responses"),
        ({"delegaton": "client"}, "did you mean 'delegation'"),
        ({"acknowledgement_delay_ms": "soon"}, "must be int"),
    ],
)
def test_options_that_cannot_be(options: dict[str, Any], said: str) -> None:
    with pytest.raises(VoiceError, match=said):
        gpt_live.provider({"api_key": KEY}).voice(session(options=options))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(VoiceError, match="set OPENAI_API_KEY"):
        gpt_live.provider({})


def test_history_is_cut_to_what_the_vendor_takes() -> None:
    long = [Utterance("caller", f"{number}") for number in range(200)]
    assert [item["content"][0]["text"] for item in gpt_live.history(long)][0::127] == ["72", "199"]
    assert gpt_live.history([Utterance("caller", "x" * 30_000), Utterance("voice", "y")])[0]["role"] == "assistant"


def test_long_texts_are_told_in_pieces() -> None:
    sentences = " ".join(f"This is sentence number {number}." for number in range(120))
    found = pieces(sentences)
    assert all(len(piece) <= LONGEST for piece in found)
    assert all(piece.endswith(".") for piece in found)
    assert " ".join(found) == sentences
    assert pieces("x" * 3000) == ["x" * 1200, "x" * 1200, "x" * 600]
    assert pieces("  ") == []


async def test_the_vendors_own_client_completes_a_conversation() -> None:
    """The emulator is no invention of ours: the vendor's client talks with it."""
    from base64 import b64decode

    from openai import AsyncOpenAI

    words = ""
    spoken = bytearray()
    async with asyncio.timeout(10), LiveEmulator() as emulator:
        client = AsyncOpenAI(api_key=KEY, base_url=emulator.http_url)
        async with client.live.connect() as connection:
            await connection.send({
                "type": "session.start",
                "session": {
                    "model": "gpt-live-1", "audio": {"format": {"type": "audio/pcmu", "rate": 8000}},
                    "delegation": {"type": "client"},
                },
            })  # fmt: skip
            async for event in connection:
                if event.type == "session.started":
                    await connection.send(
                        {"type": "session.commentary.append", "content": "Good day.", "delegation_id": None}
                    )
                elif event.type == "session.output_audio.delta":
                    spoken += b64decode(event.delta)
                elif event.type == "session.output_transcript.delta":
                    words += event.delta
                    if words.strip() == "Good day.":
                        break
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []
        await client.close()
    assert tone(100) in bytes(spoken)
