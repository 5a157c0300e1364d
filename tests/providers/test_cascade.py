"""A voice made of parts, with parts that do what the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from providers.bill import Whose
from providers.by_sentence import streaming
from providers.cascade import Cascade
from providers.hearing import TurnOver
from providers.memory import GO_ON
from providers.parts import Message, TextDone, TextPart
from providers.voice import (
    Audio,
    Failed,
    Metered,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    TurnDone,
    Turns,
    Usage,
    Used,
    UserText,
    VoiceError,
    VoiceText,
)
from tests.emulators.openai_realtime import silence, tone
from tests.providers.conftest import Owner, owned
from tests.providers.scripted_parts import MS_A_CHARACTER, Script, ScriptedModel, ScriptedRecogniser, ScriptedSpeaker

PRICE = Tool("price", "What it costs", {"type": "object", "properties": {}})
SPENT = TextDone(usage=Usage(input_text=30, output_text=9))


def says(*parts: str) -> Script:
    return [*(TextPart(part) for part in parts), SPENT]


@dataclass
class Talk:
    owner: Owner
    ears: ScriptedRecogniser
    model: ScriptedModel
    speaker: ScriptedSpeaker


@asynccontextmanager
async def talking(
    *scripts: Script, session: Session | None = None, speaker: ScriptedSpeaker | None = None
) -> AsyncIterator[Talk]:
    ears, model, speaker = ScriptedRecogniser(), ScriptedModel(*scripts), speaker or ScriptedSpeaker()
    voice = Cascade(session or Session("Be kind."), recogniser=ears, texts=model, speaker=speaker)
    async with owned(voice) as owner:
        yield Talk(owner, ears, model, speaker)
    assert (model.open, speaker.open) == (0, 0), "nothing goes on"
    assert ears.closed


def heard_ms(owner: Owner, item: str) -> int:
    return sum(len(event.data) for event in owner.of(Audio) if event.item == item) // 8


async def until(condition: Callable[[], bool]) -> None:
    """Until something of the parts is so, which tells nobody."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_question_is_answered() -> None:
    async with talking(says("We have ", "pizza. And pas", "ta.")) as talk:
        talk.ears.hears("What is there?")
        done = await talk.owner.next(TurnDone)
        assert [type(event) for event in talk.owner.events[:4]] == [Ready, SpeechStarted, UserText, SpeechStopped]
        assert talk.model.asked[0][1:] == [Message("user", "What is there?")]
        assert talk.speaker.spoken == ["We have pizza. ", "And pasta."]
        assert heard_ms(talk.owner, done.item) == 25 * MS_A_CHARACTER
        texts = [(event.text, event.final) for event in talk.owner.of(VoiceText)]
        assert texts == [("We have pizza. ", False), ("And pasta.", False), ("We have pizza. And pasta.", True)]
        assert done == TurnDone("completed", Usage(input_text=30, output_text=9), done.item)
        assert talk.owner.of(Used) == [Used(Usage(characters=25))]
        assert talk.owner.events[-2:] == [*talk.owner.of(Used), done]


async def test_what_no_turn_has_told_is_told_at_the_end() -> None:
    rest = asyncio.Event()
    async with talking([TextPart("We have pizza. A"), rest]) as talk:
        talk.ears.hears("What is there?")
        await talk.owner.next(Audio)
        await talk.owner.hear(b"\xff" * 4000)
    voice = talk.owner.voice
    assert isinstance(voice, Metered)
    told = list(voice.settle())
    assert [(one.seconds_heard, one.characters) for one in told] == [(0.5, 0), (0.0, len("We have pizza. "))]
    assert list(voice.settle()) == []


async def test_the_first_sentence_is_spoken_while_the_model_still_writes() -> None:
    rest = asyncio.Event()
    async with talking([TextPart("We have pizza. A"), rest, TextPart("nd pasta."), SPENT]) as talk:
        talk.ears.hears("What is there?")
        await talk.owner.next(Audio)
        assert talk.owner.of(TurnDone) == []
        rest.set()
        await talk.owner.next(TurnDone)
        assert talk.speaker.opened == 1, "one utterance, however many sentences"


async def test_a_text_is_said_to_the_letter_and_remembered() -> None:
    async with talking(says("Yes.")) as talk:
        await talk.owner.voice.say("Bella's, good evening. How can I help?")
        done = await talk.owner.next(TurnDone)
        assert "".join(talk.speaker.spoken) == "Bella's, good evening. How can I help?"
        assert done.status == "completed"
        talk.ears.hears("Are you open?")
        await talk.owner.next(TurnDone, 1)
        assert talk.model.talk() == [
            ("assistant", "Bella's, good evening. How can I help?"), ("user", "Are you open?"),
        ]  # fmt: skip


async def test_things_are_said_one_after_the_other() -> None:
    async with talking(says("Three.")) as talk:
        await talk.owner.voice.say("One.")
        await talk.owner.voice.say("Two.")
        await talk.owner.voice.answer()
        await talk.owner.voice.answer()
        await talk.owner.next(TurnDone, 2)
        assert talk.speaker.spoken == ["One.", "Two.", "Three."]
        assert len(talk.model.asked) == 1, "one answer is for all that asked before it began"


async def test_the_caller_interrupts_by_sound() -> None:
    rest = asyncio.Event()
    script, speaker = [TextPart("We have pizza. And "), rest], ScriptedSpeaker(places=True)
    async with talking(script, says("Gladly."), speaker=speaker) as talk:
        talk.ears.hears("What is there?")
        item = (await talk.owner.next(Audio)).item
        await talk.owner.hear(tone(200))
        done = await talk.owner.next(TurnDone)
        heard, spoken = talk.owner.of(Used)
        assert talk.owner.events[-4:] == [SpeechStarted(), heard, spoken, done], "silence first"
        assert (done.status, done.item) == ("interrupted", item)
        assert heard.usage.seconds_heard == pytest.approx(0.08, abs=0.05)
        assert spoken.usage == Usage(characters=15)
        await until(lambda: talk.model.open == talk.speaker.open == 0)
        await talk.owner.voice.truncate(item, 8 * MS_A_CHARACTER)
        talk.ears.hears("Pizza, please.")
        await talk.owner.hear(silence(700))
        await talk.owner.next(TurnDone, 1)
        assert talk.model.talk() == [
            ("user", "What is there?"), ("assistant", "We have …"), ("user", "Pizza, please."),
        ]  # fmt: skip
        assert [event.item for event in talk.owner.of(Audio)] == [item, talk.owner.of(TurnDone)[1].item]


async def test_audio_that_waits_when_the_caller_interrupts_is_not_handed_over() -> None:
    ears, model, speaker = ScriptedRecogniser(), ScriptedModel(), ScriptedSpeaker()
    voice = Cascade(Session(), recogniser=ears, texts=model, speaker=speaker)
    await voice.connect()
    events = voice.events()
    await voice.say("One. Two. Three.")
    while not isinstance(await anext(events), Audio):
        pass
    await until(lambda: speaker.spoken == ["One. ", "Two. ", "Three."] and not speaker.open)
    ears.hears(SpeechStarted())
    await until(lambda: voice._hearing.in_turn)
    after = [await anext(events)]
    while not isinstance(after[-1], SpeechStarted):
        after.append(await anext(events))
    assert not any(isinstance(event, Audio) for event in after)
    assert voice._memory.messages()[1:-1] == [Message("assistant", "One. …")]
    await voice.close()
    assert [event async for event in events if isinstance(event, Audio)] == []


async def test_noise_that_cut_the_voice_off_has_it_go_on() -> None:
    async with talking(says("We have pizza. And pasta."), says("And pasta.")) as talk:
        talk.ears.hears("What is there?")
        item = (await talk.owner.next(TurnDone)).item
        talk.ears.hears(SpeechStarted())
        await talk.owner.next(SpeechStarted, 1)
        await talk.owner.voice.truncate(item, 14 * MS_A_CHARACTER)
        talk.owner.voice._take(talk.owner.voice._hearing.tick(1e12))  # type: ignore[attr-defined]
        await talk.owner.next(TurnDone, 1)
        assert talk.model.talk() == [
            ("user", "What is there?"), ("assistant", "We have pizza. …"), ("user", GO_ON),
        ]  # fmt: skip


async def test_noise_while_nobody_spoke_is_an_empty_turn() -> None:
    async with talking() as talk:
        talk.ears.hears(SpeechStarted())
        await talk.owner.next(SpeechStarted)
        talk.owner.voice._take(talk.owner.voice._hearing.tick(1e12))  # type: ignore[attr-defined]
        done = await talk.owner.next(TurnDone)
        assert (done.status, done.item) == ("completed", None)
        assert talk.model.asked == []


async def test_whoever_asks_for_an_answer_gets_one_to_what_is_written() -> None:
    async with talking(says("Yes."), says("Still here.")) as talk:
        talk.ears.hears(UserText("Are you there", final=False, item="a"))
        await talk.owner.next(UserText)
        await talk.owner.voice.answer()
        await talk.owner.next(TurnDone)
        assert talk.model.talk() == [("user", "Are you there")]
        await talk.owner.hear(tone(200))
        await talk.owner.voice.answer()
        await talk.owner.hear(silence(700))
        talk.ears.hears("Hello?")
        await talk.owner.next(TurnDone, 1)
        assert len(talk.model.asked) == 2, "nobody is answered while they speak"


async def test_who_may_not_be_interrupted_is_not_and_answers_afterwards() -> None:
    rest = asyncio.Event()
    session = Session(turns=Turns(interruptible=False))
    async with talking([TextPart("One. T"), rest, TextPart("wo."), SPENT], says("Yes."), session=session) as talk:
        talk.ears.hears("Hello?")
        await talk.owner.next(Audio)
        talk.ears.hears("And?")
        await talk.owner.next(SpeechStopped, 1)
        rest.set()
        await talk.owner.next(TurnDone, 1)
        assert talk.speaker.spoken == ["One. ", "Two.", "Yes."]
        assert [done.status for done in talk.owner.of(TurnDone)] == ["completed", "completed"]


async def test_tools_are_called_after_the_words_and_answered_together() -> None:
    calls = [ToolCall("call_0", "price", {"of": "pizza"}), ToolCall("call_0", "price", {"of": "pasta"})]
    asks = [TextPart("One moment."), *calls, TextDone("tools")]
    async with talking(asks, says("Nine each."), session=Session(tools=(PRICE,))) as talk:
        talk.ears.hears("What do they cost?")
        await talk.owner.next(TurnDone)
        assert talk.model.tools == (PRICE,)
        kinds = [type(event) for event in talk.owner.events]
        assert kinds[-5:] == [VoiceText, ToolCall, ToolCall, Used, TurnDone]
        one, two = talk.owner.of(ToolCall)
        assert one.id != two.id, "whatever the server calls them"
        assert (one.arguments, two.arguments) == ({"of": "pizza"}, {"of": "pasta"})
        await talk.owner.voice.tool_result(two.id, "9")
        await talk.owner.voice.tool_result("call_unknown", "9")
        assert len(talk.model.asked) == 1
        await talk.owner.voice.tool_result(one.id, "8")
        await talk.owner.next(TurnDone, 1)
        asked = talk.model.asked[1][1:]
        assert asked == [
            Message("user", "What do they cost?"), Message("assistant", "One moment.", calls=(one, two)),
            Message("tool", "8", call=one.id), Message("tool", "9", call=two.id),
        ]  # fmt: skip
        await talk.owner.voice.tool_result(one.id, "7")
        assert len(talk.model.asked) == 2


async def test_a_result_that_comes_while_the_caller_speaks_waits_for_the_end_of_the_turn() -> None:
    async with talking([ToolCall("1", "price", {}), TextDone("tools")], says("Nine.")) as talk:
        await talk.owner.voice.answer()
        call = await talk.owner.next(ToolCall)
        assert (await talk.owner.next(TurnDone)).item is None
        talk.ears.hears(UserText("Are you", final=False, item="a"))
        await talk.owner.next(UserText)
        await talk.owner.voice.tool_result(call.id, "9")
        talk.ears.hears(UserText("Are you there?", item="a"))
        await talk.owner.next(TurnDone, 1)
        assert len(talk.model.asked) == 2
        assert talk.model.talk()[-2:] == [("tool", "9"), ("user", "Are you there?")]


async def test_what_is_used_is_told_once_and_under_whose_it_is() -> None:
    ears, model = ScriptedRecogniser(), ScriptedModel(says("Yes."))
    voice = Cascade(
        Session(), recogniser=ears, texts=model, speaker=ScriptedSpeaker(), whose=Whose("google", "chat", "flite")
    )
    async with owned(voice) as owner:
        await owner.hear(silence(1000))
        ears.hears("Hello?")
        done = await owner.next(TurnDone)
        assert [event.usage for event in owner.of(Used)] == [
            Usage(seconds_heard=1.0, provider="google/listening"), Usage(characters=4, provider="flite/speech"),
        ]  # fmt: skip
        assert done.usage == Usage(input_text=30, output_text=9, provider="chat/text")
        await owner.hear(silence(500))
        assert voice.settle() == [Usage(seconds_heard=0.5, provider="google/listening")]
        assert voice.settle() == []


async def test_the_last_result_of_a_step_asks_for_no_answer() -> None:
    async with talking([ToolCall("1", "finish", {}), TextDone("tools")], says("More.")) as talk:
        await talk.owner.voice.answer()
        call = await talk.owner.next(ToolCall)
        await talk.owner.voice.tool_result(call.id, "{}", respond=False)
        await talk.owner.voice.say("Bye.")
        await talk.owner.next(TurnDone, 1)
        assert talk.speaker.spoken == ["Bye."]


async def test_instructions_and_tools_change() -> None:
    async with talking(says("Yes.")) as talk:
        await talk.owner.voice.update(instructions="Be quick.", tools=[PRICE])
        talk.ears.hears("Hello?")
        await talk.owner.next(TurnDone)
        assert talk.model.asked[0][0].text.endswith("Be quick.")
        assert talk.model.tools == (PRICE,)


async def test_interrupt_stops_what_is_said_and_what_was_to_be_said() -> None:
    rest = asyncio.Event()
    async with talking([TextPart("One. T"), rest]) as talk:
        await talk.owner.voice.interrupt()
        await talk.owner.voice.answer()
        await talk.owner.voice.say("Two.")
        await talk.owner.next(Audio)
        await talk.owner.voice.interrupt()
        assert (await talk.owner.next(TurnDone)).status == "interrupted"
        await talk.owner.voice.say("Three.")
        await talk.owner.next(TurnDone, 1)
        assert talk.speaker.spoken == ["One. ", "Three."]


async def test_one_failed_answer_is_told_and_the_second_ends_it() -> None:
    broken = VoiceError("the model: the answer broke off", code="broken_off", recoverable=True)
    async with talking([TextPart("One. T"), broken], [broken]) as talk:
        talk.ears.hears("Hello?")
        done = await talk.owner.next(TurnDone)
        assert (done.status, done.detail) == ("failed", str(broken))
        assert talk.owner.of(Failed) == []
        await talk.owner.voice.say("Are you still there?")
        await talk.owner.next(TurnDone, 1)
        talk.ears.hears("Hello?")
        failed = await talk.owner.next(Failed)
        assert failed == Failed(str(broken), "broken_off", recoverable=True)
        await asyncio.wait_for(talk.owner.over.wait(), 5)


async def test_an_answer_that_succeeds_forgives_the_failed_one() -> None:
    broken = VoiceError("the model refuses", code="refusal")
    async with talking([broken], says("Yes."), [broken], says("Yes.")) as talk:
        for number in range(4):
            talk.ears.hears("Hello?")
            await talk.owner.next(TurnDone, number)
        assert [done.status for done in talk.owner.of(TurnDone)] == ["failed", "completed"] * 2


@pytest.mark.parametrize("part", ["model", "speaker"])
async def test_what_no_other_try_mends_ends_it_at_once(part: str) -> None:
    error = VoiceError("the API key is wrong or missing", code="http_401")
    speaker = ScriptedSpeaker(fails=error if part == "speaker" else None)
    async with talking([error] if part == "model" else says("Yes."), speaker=speaker) as talk:
        talk.ears.hears("Hello?")
        assert (await talk.owner.next(TurnDone)).status == "failed"
        assert await talk.owner.next(Failed) == Failed(str(error), "http_401")
        await asyncio.wait_for(talk.owner.over.wait(), 5)


async def test_the_recognisers_failures() -> None:
    async with talking() as talk:
        talk.ears.hears(Failed("a moment of it was lost", "backlog", recoverable=True))
        assert (await talk.owner.next(Failed)).recoverable
        talk.ears.hears(Failed("the quota is used up", "quota"))
        assert await talk.owner.next(Failed, 1) == Failed("the quota is used up", "quota")
        await asyncio.wait_for(talk.owner.over.wait(), 5)


async def test_a_recogniser_that_hears_nothing_is_given_up() -> None:
    async with talking() as talk:
        for number in range(2):
            talk.owner.voice._take([SpeechStarted(), TurnOver("", ignored=True)])  # type: ignore[attr-defined]
            done = await talk.owner.next(TurnDone, number)
            assert (done.status, done.item) == ("failed", None)
        assert (await talk.owner.next(Failed)).code == "deaf"
        await asyncio.wait_for(talk.owner.over.wait(), 5)


async def test_a_recogniser_that_ends_ends_the_conversation() -> None:
    async with talking() as talk:
        talk.ears.hears(None)
        assert (await talk.owner.next(Failed)).code == "recogniser"


async def test_a_recogniser_that_refuses_leaves_nothing() -> None:
    refused = VoiceError("no key", code="setting")
    ears = ScriptedRecogniser(refuses=refused)
    voice = Cascade(Session(), recogniser=ears, texts=ScriptedModel(), speaker=ScriptedSpeaker())
    with pytest.raises(VoiceError, match="no key"):
        await voice.connect()
    assert ears.closed
    await voice.close()
    assert [event async for event in voice.events()] == []


async def test_closing_in_the_middle_of_an_answer_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    async with talking([TextPart("One. T"), asyncio.Event()]) as talk:
        talk.ears.hears("Hello?")
        await talk.owner.next(Audio)
        await talk.owner.voice.close()
        await talk.owner.voice.close()
        await talk.owner.voice.say("Two.")
        await talk.owner.voice.send_audio(tone(20))
        await asyncio.wait_for(talk.owner.over.wait(), 5)
        assert talk.ears.audio == b""
    assert asyncio.all_tasks() <= before


async def test_a_mistake_of_a_part_is_not_hidden() -> None:
    ears, model = ScriptedRecogniser(), ScriptedModel([ZeroDivisionError()])
    voice = Cascade(Session(), recogniser=ears, texts=model, speaker=ScriptedSpeaker())
    await voice.connect()
    await voice.answer()
    with pytest.RaisesGroup(ZeroDivisionError):
        async for _ in voice.events():
            pass
    await voice.close()


async def test_any_speaker_speaks_by_sentences() -> None:
    class Plain:
        async def speak(self, text: str, **how: object) -> bytes:
            return b"\x20" * (8 * 10 * len(text))

    plain = streaming(Plain())  # type: ignore[arg-type]
    assert streaming(plain) is plain
    model = ScriptedModel(says("We have pizza. And pasta."))
    ears = ScriptedRecogniser()
    async with owned(Cascade(Session(), recogniser=ears, texts=model, speaker=plain)) as owner:
        ears.hears("What is there?")
        done = await owner.next(TurnDone)
        assert heard_ms(owner, done.item) == 250
        await owner.voice.truncate(done.item, 150)
        assert owner.voice._memory.messages()[-2].text == "We have pizza. …"  # type: ignore[attr-defined]
