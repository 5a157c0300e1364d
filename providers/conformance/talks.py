"""The kit's tests of talking: greeting, question and answer, interruption, what the model is told, formats."""

from __future__ import annotations

import asyncio

import pytest

from providers.conformance.owner import WITHIN, Owner, silence, speech
from providers.conformance.play import Stage, acted, played
from providers.conformance.scene import Counterpart, Nothing, Says, Scene
from providers.voice import (
    Audio,
    AudioFormat,
    Failed,
    Interrupted,
    Metered,
    SpeechStarted,
    SpeechStopped,
    TurnDone,
    Used,
    UserText,
    Utterance,
    VoiceError,
    VoiceText,
    Warned,
)

GREETING = "Good day, this is Bella's."
QUESTION, ANSWER = "When do you open?", "We open at seven."
LONG = "This is a long answer. It goes on, and on, and on. Hardly anybody wants to hear it to its end. It is too long."
COUNTED = ("input_text", "input_audio", "output_text", "output_audio", "seconds_heard", "seconds_session", "characters")
TROUBLE = (Failed, Warned)
ANSWERS = Scene((Says(ANSWER), Says(ANSWER)), (QUESTION, QUESTION))
SLOW = Scene((Says(LONG), Says(ANSWER)), (QUESTION, QUESTION), slow=True)


class Talks(Stage):
    """What a caller notices."""

    @played()
    async def test_it_says_what_it_is_told_to_say(self, owner: Owner, other: Counterpart) -> None:
        """A greeting is heard, ends, and is to the letter when the voice says so of itself."""
        await owner.voice.say(GREETING)
        done = await owner.next(TurnDone)
        assert done.status == "completed"
        assert done.item is not None, "the answer had speech, so its TurnDone names the utterance"
        ms = len(owner.audio_of(done.item)) / owner.format.bytes_per_ms
        assert ms > 200, f"only {ms} ms were heard"
        if self.capabilities.verbatim:
            assert owner.said() == [GREETING], "a verbatim voice tells the text to the letter"
        assert owner.of(TROUBLE) == []

    @played()
    async def test_one_thing_after_the_other(self, owner: Owner, other: Counterpart) -> None:
        """Two texts at once are two utterances; nothing is no text."""
        await owner.voice.say("One moment.")
        await owner.voice.say("Here I am again.")
        await owner.voice.say("   ")
        first, second = await owner.next(TurnDone), await owner.next(TurnDone, 1)
        assert first.item != second.item
        assert owner.audio_of(first.item)
        assert owner.audio_of(second.item)
        assert owner.of(TROUBLE) == []

    @played(ANSWERS)
    async def test_question_and_answer(self, owner: Owner, other: Counterpart) -> None:
        """The caller is heard, understood where the voice says so, and answered."""
        await owner.a_turn()
        done = await owner.next(TurnDone)
        assert done.status == "completed"
        assert owner.audio_of(done.item)
        spoke = owner.events.index(owner.of(Audio)[0])
        if owner.of((SpeechStarted, SpeechStopped)):
            kinds = [type(event) for event in owner.events[:spoke]]
            assert kinds.index(SpeechStarted) < kinds.index(SpeechStopped), "the caller's turn ends before the answer"
        if "script" in self.plays:
            if self.capabilities.understands:
                assert [text.text for text in owner.of(UserText) if text.final] == [QUESTION]
            assert owner.said() == [ANSWER]
        assert owner.of(TROUBLE) == []

    @played(ANSWERS, needs=("ears",))
    async def test_every_frame_of_the_caller_arrives(self, owner: Owner, other: Counterpart) -> None:
        """20 ms frames, as they come from a line; a voice may gather up to 200 ms of them."""
        await owner.hear(speech(600, owner.format) + silence(1400, owner.format))
        await owner.until(lambda: other.heard_ms() >= 1800, f"1800 of 2000 ms arrive, not {other.heard_ms()}")

    @played(SLOW, needs=("turn_detection",))
    async def test_the_caller_interrupts(self, owner: Owner, other: Counterpart) -> None:
        """The owner is told at once, the answer ends and stays ended, and the next turn is answered."""
        await owner.a_turn()
        first = await owner.next(Audio)
        before = len(owner.of((SpeechStarted, Interrupted)))
        await owner.hear(speech(600, owner.format))
        await owner.next((SpeechStarted, Interrupted), before)
        await owner.voice.truncate(first.item, 60)
        done = await owner.next(TurnDone)
        assert (done.status, done.item) == ("interrupted", first.item)
        if "truncations" in self.plays and self.capabilities.truncation:
            await owner.until(lambda: other.truncated_ms() == [60], "the model is told that 60 ms were heard")
        await owner.hear(silence(1500, owner.format))
        again = await owner.next(TurnDone, 1)
        assert again.status == "completed"
        assert again.item not in (None, first.item)
        assert owner.of(TROUBLE) == []

    @played(SLOW)
    async def test_the_owner_interrupts(self, owner: Owner, other: Counterpart) -> None:
        """`interrupt` ends the answer; what is said next is heard whole."""
        await owner.voice.say(LONG)
        first = await owner.next(Audio)
        await owner.voice.interrupt()
        done = await owner.next(TurnDone)
        assert (done.status, done.item) == ("interrupted", first.item)
        await owner.voice.truncate(first.item, 10**6)
        await owner.voice.say(GREETING)
        assert (await owner.next(TurnDone, 1)).status == "completed"
        assert owner.of(Failed) == []

    @played()
    async def test_there_may_be_nothing_to_interrupt(self, owner: Owner, other: Counterpart) -> None:
        """Idle, or about an utterance that nobody knows: no complaint."""
        await owner.voice.interrupt()
        await owner.voice.truncate("never heard of it", 500)
        await owner.voice.say(GREETING)
        done = await owner.next(TurnDone)
        await owner.voice.interrupt()
        await owner.voice.truncate(done.item, 10**6)
        await owner.voice.truncate(done.item, 0)
        await owner.voice.say(GREETING)
        assert (await owner.next(TurnDone, 1)).status == "completed"
        assert owner.of(Failed) == []

    @played(Scene((Says(ANSWER),)), history=(Utterance("caller", "I am Ann Lee."), Utterance("voice", "Hello Ann.")))
    async def test_it_takes_over_a_conversation(self, owner: Owner, other: Counterpart) -> None:
        """`answer` makes it speak although nobody just spoke; it knows what was said before."""
        await owner.voice.answer()
        done = await owner.next(TurnDone)
        assert done.status == "completed"
        assert owner.audio_of(done.item)
        if "words" in self.plays:
            for words in ("I am Ann Lee.", "Hello Ann.", "Bella's"):
                assert words in other.told(), f"the model was never told: {words}"
        assert owner.of(TROUBLE) == []

    @played(ANSWERS, needs=("words",))
    async def test_it_is_told_something_new(self, owner: Owner, other: Counterpart) -> None:
        """`update` reaches the model by its next answer, and the talk goes on."""
        await owner.voice.update(instructions="From now on you speak French.")
        await owner.voice.answer()
        assert (await owner.next(TurnDone)).status == "completed"
        await owner.until(lambda: "you speak French" in other.told(), "the model is told the new instructions")
        assert owner.of(TROUBLE) == []

    @played(Scene((Nothing(), Says(ANSWER)), (QUESTION, QUESTION)), needs=("script", "empty"))
    async def test_an_answer_without_a_word(self, owner: Owner, other: Counterpart) -> None:
        """It ends, says that nothing was spoken, and the talk goes on."""
        await owner.a_turn()
        assert (await owner.next(TurnDone)).item is None
        await owner.a_turn()
        assert (await owner.next(TurnDone, 1)).item is not None
        assert owner.of(Failed) == []

    @played(ANSWERS, needs=("usage",))
    async def test_what_it_costs_is_told(self, owner: Owner, other: Counterpart) -> None:
        """With its turns, beside them, or when the talk is over."""
        await owner.a_turn()
        await owner.next(TurnDone)
        await owner.voice.close()
        await owner.end()
        used = [event.usage for event in owner.of((TurnDone, Used))]
        used += owner.voice.settle() if isinstance(owner.voice, Metered) else []
        counted = [getattr(usage, name) for usage in used for name in COUNTED]
        assert any(counted), "nothing was used"

    @acted()
    async def test_every_format_that_it_claims(self, other: Counterpart) -> None:
        """In each it speaks as long as in the others, and hears; any other is refused before a call."""
        lasted = {}
        for format in self.capabilities.formats:
            async with self.talking(other, format=format) as owner:
                before = other.heard_ms() if "ears" in self.plays else 0.0
                await owner.voice.say(GREETING)
                done = await owner.next(TurnDone)
                lasted[format] = len(owner.audio_of(done.item)) / format.bytes_per_ms
                await owner.hear(silence(1000, format))
                if "ears" in self.plays:
                    await owner.until(lambda since=before: other.heard_ms() - since >= 800, f"hears {format}")  # type: ignore[misc]
                assert owner.of(TROUBLE) == []
        assert max(lasted.values()) - min(lasted.values()) < 100, f"milliseconds by format: {lasted}"
        session = self.session(other, {"format": AudioFormat("pcm16", 44100)})
        with pytest.raises(VoiceError):
            other.provider.voice(session)

    @played(ANSWERS)
    async def test_hearing_never_waits(self, owner: Owner, other: Counterpart) -> None:
        """Ten seconds of audio at once are taken (or dropped) at once."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await owner.hear(silence(10_000, owner.format))
        assert clock() - began < WITHIN / 2
        await owner.voice.say(GREETING)
        assert (await owner.next(TurnDone)).status == "completed"

    @acted()
    async def test_conversations_side_by_side(self, other: Counterpart) -> None:
        """Ten at once do not disturb each other."""

        async def one(number: int) -> None:
            async with self.talking(other) as owner:
                await owner.voice.say(f"This is number {number}.")
                assert (await owner.next(TurnDone)).status == "completed"
                if self.capabilities.verbatim:
                    assert owner.said() == [f"This is number {number}."]

        await asyncio.gather(*(one(number) for number in range(10)))

    @played()
    async def test_texts_come_before_the_end(self, owner: Owner, other: Counterpart) -> None:
        """The whole text of an utterance, if it is told at all, is there when its TurnDone comes."""
        await owner.voice.say(GREETING)
        done = await owner.next(TurnDone)
        await owner.voice.say(GREETING)
        await owner.next(TurnDone, 1)
        texts = [event for event in owner.of(VoiceText) if event.final and event.item == done.item]
        for text in texts:
            assert owner.events.index(text) < owner.events.index(done)
