"""The Live protocol as a state machine, on a clock of the test's own."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from providers.duplex import Duplex
from providers.utterances import LEAD_MS, PAUSE, Utterances
from providers.voice import (
    ALAW,
    ULAW,
    Audio,
    AudioFormat,
    Failed,
    Interrupted,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    TurnDone,
    UserText,
    Utterance,
    VoiceText,
)
from tests.emulators.openai_realtime import silence, tone

SOUND, QUIET = tone(100), silence(100)


class Service:
    """Tells a session what a service would, 100 ms after 100 ms."""

    def __init__(self, **fields: Any) -> None:
        self.now = 1000.0
        self.live = Duplex(Session(**fields), {"model": "m"}, answer_timeout=5.0, clock=lambda: self.now)
        assert self.tells("session.started", session={"id": "s", "expires_at": 1795000000}) == [Ready("s")]
        self.live.out.clear()

    def tells(self, kind: str, **fields: Any) -> list[Any]:
        return list(self.live.receive(json.dumps({"type": kind, "event_id": "e", **fields})))

    def sounds(self, *frames: bytes) -> list[Any]:
        found = []
        for frame in frames:
            self.now += 0.1
            found += self.tells("session.output_audio.delta", delta=b64encode(frame).decode())
        return found

    def hears(self, word: str, end_ms: int = 0) -> list[Any]:
        return self.tells("session.input_transcript.delta", delta=word, start_ms=end_ms, end_ms=end_ms)

    def passes(self, seconds: float) -> list[Any]:
        self.now += seconds
        return list(self.live.tick())

    def sent(self) -> list[dict[str, Any]]:
        frames = [json.loads(frame) for frame in self.live.out]
        self.live.out.clear()
        return frames


def kinds(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_silence_ends_an_utterance_and_is_not_played_after_it() -> None:
    service = Service()
    assert service.sounds(QUIET, QUIET) == []
    first, second = service.sounds(SOUND, SOUND)
    assert first == Audio(silence(LEAD_MS) + SOUND, "utterance_1")
    assert second == Audio(SOUND, "utterance_1")
    rest = service.sounds(*[QUIET] * 10)
    assert kinds(rest) == ["Audio"] * 6 + ["TurnDone"]
    assert rest[-1] == TurnDone("completed", item="utterance_1")
    assert service.live.quiet


def test_a_pause_inside_a_sentence_is_no_end() -> None:
    service = Service()
    events = service.sounds(SOUND, *[QUIET] * 4, SOUND)
    assert kinds(events) == ["Audio"] * 6
    assert {event.item for event in events} == {"utterance_1"}


def test_a_service_that_sends_no_silence_ends_its_utterances_by_the_clock() -> None:
    service = Service()
    service.sounds(SOUND)
    assert not service.live.quiet
    assert service.passes(1.0) == []
    assert service.passes(0.3) == [TurnDone("completed", item="utterance_1")]


def test_a_service_that_falls_silent_though_it_else_sends_silence_is_gone() -> None:
    service = Service()
    service.sounds(*[QUIET] * 10)
    assert service.live.ticking
    assert service.passes(1.9) == []
    [failed] = service.passes(0.2)
    assert (failed.code, failed.recoverable, service.live.over) == ("silent", True, True)
    service = Service()
    service.sounds(SOUND)
    service.passes(2.0)
    assert service.passes(60.0) == [], "one that sends nothing between utterances may be silent for long"


def test_the_callers_turn_ends_by_a_pause_and_by_the_clock_alone() -> None:
    service = Service()
    assert service.hears("I want") == [SpeechStarted(), UserText("I want", final=False, item="caller_1")]
    assert kinds(service.hears(" pizza.")) == ["UserText"]
    assert service.passes(0.4) == []
    assert service.passes(0.2) == [UserText("I want pizza.", item="caller_1"), SpeechStopped()]
    assert service.live.quiet
    assert service.live.said == [Utterance("caller", "I want pizza.")]
    assert service.hears(" ") == [], "nothing was said"


def test_words_that_come_late_do_not_count_as_speaking_now() -> None:
    """The transcript of a question may arrive when the answer has begun: it interrupts nothing."""
    service = Service()
    service.sounds(*[QUIET] * 20, SOUND)
    service.hears("What is it?", end_ms=1000)
    events = service.sounds(*[QUIET] * 7)
    assert TurnDone("completed", item="utterance_1") in events
    assert Interrupted() not in events


def test_a_caller_who_still_speaks_when_it_falls_silent_made_it_give_way() -> None:
    service = Service()
    service.sounds(*[SOUND] * 10)
    service.tells("session.output_transcript.delta", delta="We have ", start_ms=0, end_ms=900)
    service.hears("Stop!", end_ms=1000)
    events = service.sounds(*[QUIET] * 7)
    ends = [event for event in events if not isinstance(event, Audio | UserText | SpeechStopped)]
    assert ends == [
        Interrupted(), VoiceText("We have", "utterance_1", final=True), TurnDone("interrupted", item="utterance_1"),
    ]  # fmt: skip


def test_a_time_line_of_another_beginning_splits_no_sentence() -> None:
    service = Service()
    service.sounds(*[QUIET] * 50)
    events = []
    for number, word in enumerate(("I ", "want ", "pizza.")):
        events += service.hears(word, end_ms=number)
        events += service.sounds(QUIET)
    events += service.sounds(*[QUIET] * 5)
    assert [event.text for event in events if isinstance(event, UserText) and event.final] == ["I want pizza."]


def test_what_was_given_to_say_is_awaited_until_it_begins() -> None:
    service = Service()
    service.live.say("Good day.")
    assert service.sent() == [
        {"type": "session.commentary.append", "content": "Good day.", "delegation_id": None},
    ]  # fmt: skip
    assert service.live.expecting
    assert kinds(service.sounds(SOUND)) == ["Audio"]
    assert not service.live.expecting
    service.live.say("And more.")
    assert service.live.expecting, "it is said in the same breath, or after it"
    service.tells("session.commentary.appended", start_ms=0, end_ms=0)
    service.tells("session.output_transcript.delta", delta="Good day. ", start_ms=0, end_ms=0)
    assert service.live.expecting, "only one of two was confirmed"
    service.tells("session.commentary.appended", start_ms=0, end_ms=0)
    service.tells("session.output_transcript.delta", delta="And more.", start_ms=0, end_ms=0)
    assert not service.live.expecting


def test_speech_that_does_not_come_though_silence_does() -> None:
    service = Service()
    service.live.say("Good day.")
    events = service.sounds(*[QUIET] * 60)
    assert [event.code for event in events if isinstance(event, Failed)] == ["stalled"]
    assert not service.live.expecting


def test_words_before_their_sound_belong_to_it() -> None:
    service = Service()
    assert service.tells("session.output_transcript.delta", delta="Good ", start_ms=0, end_ms=0) == []
    service.sounds(SOUND)
    service.tells("session.output_transcript.delta", delta="day.", start_ms=0, end_ms=0)
    events = service.sounds(*[QUIET] * 6)
    assert VoiceText("Good day.", "utterance_1", final=True) in events


def test_every_format_knows_silence() -> None:
    for format, quiet in ((ULAW, b"\xff\x7f"), (ALAW, b"\xd5\x55"), (AudioFormat("pcm16", 24000), b"\x00\x00")):
        stream = Utterances(format)
        assert stream.feed(quiet * 400, 0.0) == b""
        loud = b"\x00\x40" * 400
        assert stream.feed(loud, 0.0).endswith(loud)
        assert len(stream.feed(loud, 0.0)) == len(loud)
        assert stream.open
        assert not stream.over(PAUSE)
        assert stream.over(3 * PAUSE)
