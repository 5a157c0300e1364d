import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from asterisk.sandbox import Installation
from providers.rehearsal import APOLOGY, FAREWELL, Rehearsal
from providers.rehearsal import provider as rehearsal_provider
from providers.voice import (
    ALAW,
    Audio,
    AudioFormat,
    Failed,
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
    VoiceError,
    VoiceText,
    Warned,
)
from tests.emulators.openai_realtime import silence, tone
from tests.providers.conftest import Owner, owned

Make = Callable[..., Rehearsal]
A_TURN = tone(300) + silence(700)
FINISH = Tool("finish", "", {"type": "object", "properties": {"exit": {"enum": ["ordered", "person"]}, "data": {}}})
LOOKUP = Tool("lookup", "", {"type": "object", "properties": {}})


def scripted(*steps: dict[str, Any], tools: tuple[Tool, ...] = (FINISH, LOOKUP), **fields: Any) -> Session:
    return Session(tools=tools, options={"script": list(steps)}, **fields)


def words(owner: Owner) -> list[str]:
    return [event.text for event in owner.of(VoiceText) if event.final]


async def test_says_what_it_is_told_sentence_by_sentence(rehearse: Make) -> None:
    async with owned(rehearse().voice(Session())) as owner:
        await owner.voice.say("Hello there. How are you?")
        done = await owner.next(TurnDone)
    assert done == TurnDone("completed", item=done.item)
    assert type(owner.events[0]) is Ready
    texts = owner.of(VoiceText)
    assert [(text.text, text.final) for text in texts] == [
        ("Hello there. ", False),
        ("How are you? ", False),
        ("Hello there. How are you?", True),
    ]
    audio = owner.of(Audio)
    assert {event.item for event in (*audio, *texts)} == {done.item}
    assert sum(len(event.data) for event in audio) == 2 * 4000
    assert max(len(event.data) for event in audio) == 800
    assert owner.events.index(audio[0]) < owner.events.index(texts[1])


async def test_follows_its_script(rehearse: Make) -> None:
    session = scripted(
        {"say": "What would you like?"},
        {"hear": "any"},
        {"call": {"tool": "lookup", "with": {"dish": "pizza"}}},
        {"say": "It costs ${result.price}."},
        {"finish": {"exit": "ordered", "data": {"price": "${result.price}"}}},
    )
    async with owned(rehearse().voice(session)) as owner:
        await owner.voice.say("Good evening.")
        await owner.next(TurnDone, 1)
        assert owner.of(ToolCall) == []
        await owner.hear(A_TURN)
        lookup = await owner.next(ToolCall)
        assert (lookup.name, lookup.arguments) == ("lookup", {"dish": "pizza"})
        await owner.voice.tool_result(lookup.id, '{"price": 9}')
        finish = await owner.next(ToolCall, 1)
        assert (finish.name, finish.arguments) == ("finish", {"exit": "ordered", "data": {"price": 9}})
        await owner.voice.tool_result(finish.id, "{}", respond=False)
    assert words(owner) == ["Good evening.", "What would you like?", "It costs 9."]
    assert owner.of(UserText) == []


async def test_a_greeting_comes_before_the_script(rehearse: Make) -> None:
    async with owned(rehearse().voice(scripted({"say": "Second."}))) as owner:
        await owner.voice.say("First.")
        await owner.next(TurnDone, 1)
    assert words(owner) == ["First.", "Second."]


async def test_the_caller_interrupts_it(rehearse: Make) -> None:
    gate = asyncio.Event()
    provider = rehearse()
    speak = provider.speaker().sentence

    async def slowly(text: str, *args: Any) -> bytes:
        if text == "Two.":
            await gate.wait()
        return await speak(text, *args)

    provider.speaker().sentence = slowly  # type: ignore[method-assign,assignment]
    async with owned(provider.voice(scripted({"say": "One. Two."}, {"hear": "any"}, {"say": "Three."}))) as owner:
        await owner.next(VoiceText)
        await owner.hear(tone(200))
        gate.set()
        done = await owner.next(TurnDone)
        await owner.hear(silence(700))
        await owner.next(TurnDone, 1)
    assert done.status == "interrupted"
    kinds = [type(event) for event in owner.events]
    assert kinds.index(SpeechStarted) < kinds.index(Interrupted) < kinds.index(TurnDone) < kinds.index(SpeechStopped)
    assert words(owner) == ["Three."]
    assert "Two. " not in [event.text for event in owner.of(VoiceText)]


async def test_a_turn_that_may_not_be_interrupted_goes_on(rehearse: Make) -> None:
    async with owned(rehearse().voice(Session(turns=Turns(interruptible=False)))) as owner:
        await owner.voice.say("One. Two.")
        await owner.next(VoiceText)
        await owner.hear(tone(200))
        assert (await owner.next(TurnDone)).status == "completed"
    assert owner.of(SpeechStarted)
    assert not owner.of(Interrupted)


async def test_the_owner_interrupts_and_what_waits_is_forgotten(rehearse: Make) -> None:
    async with owned(rehearse().voice(Session())) as owner:
        await owner.voice.say("One.")
        await owner.voice.say("Two.")
        await owner.voice.interrupt()
        await owner.voice.say("Three.")
        done = await owner.next(TurnDone)
        await owner.voice.interrupt()
    assert done.status == "completed"
    assert words(owner) == ["Three."]


async def test_the_silence_that_ends_a_turn_is_a_setting(rehearse: Make) -> None:
    async with owned(rehearse().voice(Session(turns=Turns(min_delay=1.0)))) as owner:
        await owner.hear(tone(200) + silence(900))
        await owner.next(SpeechStarted)
        assert owner.of(SpeechStopped) == []
        await owner.hear(silence(200))
        await owner.next(SpeechStopped)


async def test_without_a_script_it_is_honest_and_fetches_a_person(rehearse: Make) -> None:
    async with owned(rehearse().voice(Session(tools=(FINISH,)))) as owner:
        for turn in range(3):
            await owner.hear(A_TURN)
            await owner.next(TurnDone, turn)
        call = await owner.next(ToolCall)
        await owner.voice.tool_result(call.id, "{}", respond=False)
    assert words(owner) == [APOLOGY, APOLOGY, FAREWELL]
    assert (call.name, call.arguments) == ("finish", {"exit": "person"})


async def test_without_an_exit_to_a_person_it_goes_on_apologising(rehearse: Make) -> None:
    finish = Tool("finish", "", {"type": "object", "properties": {"exit": {"enum": ["ordered"]}}})
    options = {"patience": 0, "apology": "Sorry."}
    async with owned(rehearse().voice(Session(tools=(finish,), options=options))) as owner:
        for turn in range(3):
            await owner.hear(A_TURN)
            await owner.next(TurnDone, turn)
    assert words(owner) == ["Sorry."] * 3


async def test_a_refused_finish_does_not_end_the_conversation(rehearse: Make) -> None:
    async with owned(rehearse().voice(scripted({"finish": {"exit": "ordered"}}, {"say": "Still here."}))) as owner:
        call = await owner.next(ToolCall)
        await owner.voice.tool_result(call.id, '{"error": "order is missing"}')
        await owner.next(TurnDone, 1)
    assert words(owner) == ["Still here."]


async def test_a_tool_the_step_does_not_have_is_warned_about(rehearse: Make) -> None:
    async with owned(rehearse().voice(scripted({"call": {"tool": "lokup"}}, {"say": "On."}, tools=(LOOKUP,)))) as owner:
        warning = await owner.next(Warned)
        await owner.next(TurnDone)
    assert "'lokup'" in warning.message
    assert "lookup" in warning.message
    assert words(owner) == ["On."]


async def test_tools_may_change(rehearse: Make) -> None:
    async with owned(rehearse().voice(scripted({"hear": "any"}, {"call": {"tool": "lookup"}}, tools=()))) as owner:
        await owner.voice.update(tools=(LOOKUP,))
        await owner.hear(A_TURN)
        assert (await owner.next(ToolCall)).name == "lookup"


async def test_a_result_that_is_no_json_is_warned_about(rehearse: Make) -> None:
    async with owned(rehearse().voice(scripted({"call": {"tool": "lookup"}}, {"say": "It is ${result.x}."}))) as owner:
        call = await owner.next(ToolCall)
        await owner.voice.tool_result(call.id, "oops")
        await owner.next(TurnDone, 1)
    assert "not JSON" in owner.of(Warned)[0].message
    assert words(owner) == ["It is ."]


async def test_a_voice_that_flite_does_not_have_is_warned_about(rehearse: Make) -> None:
    async with owned(rehearse().voice(Session(voice="marin"))) as owner:
        assert "'marin'" in (await owner.next(Warned)).message


async def test_a_broken_synthesiser_ends_the_conversation_with_a_reason() -> None:
    provider = rehearsal_provider({"flite": json.dumps(["/bin/sh", "-c", "echo no voice >&2; exit 1"])})
    voice = provider.voice(Session())
    async with owned(voice) as owner:
        await voice.say("Hello.")
        async with asyncio.timeout(5):
            await owner.over.wait()
    assert owner.of(TurnDone)[0].status == "failed"
    assert "no voice" in owner.of(Failed)[0].message
    assert not owner.of(Failed)[0].recoverable


async def test_after_close_nothing_does_anything(rehearse: Make) -> None:
    async with owned(rehearse().voice(Session())) as owner:
        pass
    before = list(owner.events)
    voice = owner.voice
    await voice.close()
    await voice.send_audio(A_TURN)
    await voice.say("Hello.")
    await voice.interrupt()
    await voice.truncate("item_1", 100)
    await voice.tool_result("call_1", "{}")
    await voice.update(tools=())
    assert owner.events == before


async def test_close_without_connect(rehearse: Make) -> None:
    await rehearse().voice(Session()).close()


async def test_speaks_a_law(rehearse: Make) -> None:
    async with owned(rehearse().voice(Session(format=ALAW))) as owner:
        await owner.voice.say("Hello.")
        await owner.next(TurnDone)
    assert sum(len(event.data) for event in owner.of(Audio)) == 4000


@pytest.mark.parametrize(
    ("session", "complaint"),
    [
        (Session(format=AudioFormat("pcm16", 16000)), "8000 Hz"),
        (Session(options={"scrip": []}), r"no option 'scrip' \(did you mean 'script'\?\)"),
        (Session(options={"script": [{"sing": "la"}]}), "script step 1"),
        (Session(options={"patience": "2"}), "patience must be"),
        (Session(options={"apology": ""}), "must be texts"),
    ],
)
def test_wrong_options_are_refused_before_the_call(rehearse: Make, session: Session, complaint: str) -> None:
    with pytest.raises(VoiceError, match=complaint):
        rehearse().voice(session)


def test_without_flite_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(VoiceError, match="apt install flite"):
        rehearsal_provider({})


def test_it_never_claims_to_understand(rehearse: Make) -> None:
    capabilities = rehearse().capabilities
    assert not capabilities.understands
    assert capabilities.verbatim
    assert capabilities.languages == ("en",)
    assert rehearse(espeak="/usr/bin/espeak-ng").capabilities.languages == ()


@pytest.mark.asterisk
async def test_two_rehearsal_voices_talk_to_each_other(installation: Installation) -> None:
    """Real speech into real ears: the one's prompt is a turn for the other."""
    provider = rehearsal_provider({"flite": json.dumps(installation.flite())})
    caller = await provider.speaker().speak(
        "I would like a large pizza, please.", voice="rms", language=None, format=Session().format
    )
    async with owned(
        provider.voice(scripted({"say": "Bella's, good evening."}, {"hear": "any"}, {"say": "Thank you."}))
    ) as owner:
        await owner.next(TurnDone)
        await owner.hear(caller + silence(1000))
        await owner.next(TurnDone, 1)
    assert len(owner.of(SpeechStarted)) == len(owner.of(SpeechStopped)) == 1
    assert words(owner) == ["Bella's, good evening.", "Thank you."]
