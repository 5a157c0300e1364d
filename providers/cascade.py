"""Cascade: a voice made of three parts, a recogniser, a text model and text to speech.

Three tasks live as long as the conversation: one hears what the recogniser tells, one waits for the end of the caller's
turn (`providers.hearing`), one has the voice say what is to be said, one thing after the other; each of these is a task
of its own, which barge-in cancels. The first sentence is spoken while the model still writes the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Literal

from providers.bill import OWN, Bill, Whose
from providers.bounded import within
from providers.energy import EnergyDetector
from providers.hearing import Hearing, Sign, TurnOver
from providers.memory import Memory, Utterance
from providers.outbox import Outbox
from providers.parts import Recogniser, Said, StreamingSpeaker, TextDone, TextModel, TextPart
from providers.sentences import Sentences, pieces
from providers.voice import (
    Audio,
    Failed,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    TurnDone,
    Usage,
    Used,
    UserText,
    VoiceError,
    VoiceEvent,
    VoiceText,
)

MIN_DELAY = 0.6  # seconds of silence that end a turn
WORD_WITHIN = 20.0  # seconds between two words of the model; its own bounds are shorter
SOUND_WITHIN = 25.0  # seconds between two pieces of audio: the wait for a word, and for its sound
DEAF = 2  # turns in a row of which the recogniser told nothing: it hears nothing
FAILURES = 2  # answers in a row that fail: the voice is of no use
OF_ONE_ANSWER = ("refusal", "content_filter", "format")  # errors that say nothing about the next answer

_Written = asyncio.Queue[str | None]  # pieces of a text, None behind the last


class _EndError(Exception):
    """The conversation cannot go on."""

    def __init__(self, failure: Failed) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(slots=True)
class _Answer:
    """One thing to say. ``words``: these, to the letter; None: the model's own."""

    utterance: Utterance
    words: str | None
    over: bool = False  # its end was told
    spent: Usage = field(default_factory=Usage)


class Cascade:
    """One conversation. See `providers.voice.Voice` for what the methods promise.

    Its parts are not yet connected. ``most`` bounds the tokens of an answer; ``whose``: who is paid for the parts.
    """

    def __init__(
        self, session: Session, *, recogniser: Recogniser, texts: TextModel, speaker: StreamingSpeaker,
        most: int | None = None, whose: Whose = OWN,
    ) -> None:  # fmt: skip
        self._session = session
        self._recogniser = recogniser
        self._texts = texts
        self._speaker = speaker
        self._most = most
        self._tools = session.tools
        turns = session.turns
        self._ears = EnergyDetector(
            session.format,
            threshold=0.5 if turns.threshold is None else turns.threshold,
            min_silence_ms=round((MIN_DELAY if turns.min_delay is None else turns.min_delay) * 1000),
        )
        self._hearing = Hearing()
        self._memory = Memory(session)
        self._outbox = Outbox()
        self._changed = asyncio.Event()  # the caller's turn may end at another time
        self._wanted: deque[str | None] = deque()  # what is to be said next, as in `_Answer`
        self._asked = asyncio.Event()  # something is wanted
        self._answer: _Answer | None = None
        self._giving: asyncio.Task[None] | None = None
        self._number = count(1)
        self._unsettled = False  # in the caller's turn: something was cut off, or a tool wants an answer
        self._failures = self._deaf = 0
        self._bill = Bill(recogniser, speaker, voice=session.voice, whose=whose)
        self._life: asyncio.Task[None] | None = None
        self._closed = False

    # ── the life of the conversation ──────────────────────────────────────────────────────────────────────────────────

    async def connect(self) -> None:
        """Open the recogniser. Raises `VoiceError`; nothing is left open when it does."""
        try:
            await self._recogniser.connect()
        except BaseException:
            await self._recogniser.close()
            raise
        self._outbox.put(Ready())
        self._life = asyncio.create_task(self._live(), name="cascade")

    async def events(self) -> AsyncIterator[VoiceEvent]:
        """Everything that happens, until the conversation cannot go on or `close`."""
        while (event := await self._outbox.get()) is not None:
            if isinstance(event, Audio):
                self._memory.handed(event.item, len(event.data) / self._session.format.bytes_per_ms)
            yield event
        if self._life is not None:
            await asyncio.wait([self._life])
            if not self._life.cancelled():
                self._life.result()

    async def close(self) -> None:
        """Stop everything and end ``events``."""
        self._closed = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
        await self._recogniser.close()
        self._outbox.put(None)

    async def _live(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(), name="cascade hears")
                group.create_task(self._watch(), name="cascade waits for the end of a turn")
                group.create_task(self._speak(group), name="cascade speaks")
        except* _EndError as ended:
            failure = ended.exceptions[0]
            assert isinstance(failure, _EndError)
            self._outbox.put(failure.failure)
        finally:
            self._outbox.put(None)

    # ── the caller ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def send_audio(self, audio: bytes) -> None:
        """Hear the caller."""
        if self._closed:
            return
        self._bill.heard(len(audio) / self._session.format.bytes_per_ms)
        for edge in self._ears.feed(audio):
            self._take(self._hearing.loudness(edge.speaking, self._now()))
        await self._recogniser.send_audio(audio)

    async def _listen(self) -> None:
        async for event in self._recogniser.events():
            if isinstance(event, SpeechStarted | SpeechStopped | UserText):
                self._take(self._hearing.recognised(event, self._now()))
            elif isinstance(event, Failed) and not event.recoverable:
                raise _EndError(event)
            elif isinstance(event, Used):
                self._outbox.put(Used(self._bill.told(event.usage)))
            else:
                self._outbox.put(event)
        raise _EndError(Failed("the recogniser ended the session", code="recogniser", recoverable=True))

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(self._hearing.deadline()):
                    await self._changed.wait()
            except TimeoutError:
                self._take(self._hearing.tick(self._now()))
            if self._deaf >= DEAF:
                raise _EndError(Failed("the recogniser tells nothing of what the caller says", code="deaf"))

    def _take(self, signs: Sequence[Sign]) -> None:
        self._changed.set()
        for sign in signs:
            match sign:
                case SpeechStarted():
                    self._outbox.put(sign)
                    if self._session.turns.interruptible:
                        self._unsettled = self._cut() or self._unsettled
                case SpeechStopped() | UserText():
                    self._outbox.put(sign)
                case TurnOver(text, ignored):
                    self._turn_over(text, ignored=ignored)

    def _turn_over(self, text: str, *, ignored: bool) -> None:
        unsettled, self._unsettled = self._unsettled, False
        self._deaf = self._deaf + 1 if ignored else 0
        if text:
            self._memory.caller(text)
        if text or unsettled:  # it was only noise that cut the voice off: it goes on
            self._want(None)
        else:
            why = "what the caller said was not written" if ignored else ""
            self._bring(self._bill.listening())
            self._outbox.put(TurnDone("failed" if ignored else "completed", detail=why))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    # ── what the owner wants ──────────────────────────────────────────────────────────────────────────────────────────

    async def say(self, text: str) -> None:
        """Speak this text, after what is being said."""
        if text.strip():
            self._want(text)

    async def answer(self) -> None:
        """Have the model answer now, to what is written of what the caller said; not while they speak."""
        self._take(self._hearing.hurry(self._now()))
        if self._hearing.in_turn:
            self._unsettled = True
        else:
            self._want(None)

    async def interrupt(self) -> None:
        """Stop what is being said, and forget what was to be said next."""
        self._cut()

    async def truncate(self, item: str, played_ms: int) -> None:
        """Only so much of ``item`` was heard: the model remembers no more of it."""
        if self._memory.truncate(item, played_ms) and self._hearing.in_turn:
            self._unsettled = True

    async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """The result of a tool; with the last one of a turn the model answers, unless the caller is speaking."""
        if not self._memory.result(call_id, output, respond=respond):
            return
        if self._hearing.in_turn:
            self._unsettled = True
        else:
            self._want(None)

    async def update(self, *, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> None:
        """Tell the model something else from its next answer on."""
        if instructions is not None:
            self._memory.instructions = instructions
        if tools is not None:
            self._tools = tuple(tools)

    def _want(self, words: str | None) -> None:
        if words is None and None in self._wanted:
            return  # one answer is for everything that was said until it begins
        self._wanted.append(words)
        self._asked.set()

    def _cut(self) -> bool:
        """Stop what is being said. Whether there was something."""
        cut = bool(self._wanted)
        self._wanted.clear()
        unheard = self._outbox.unheard()
        answer = self._answer
        if answer is not None and not answer.over:
            unheard.add(answer.utterance.item)
            assert self._giving is not None
            self._giving.cancel()
            self._turn_done("interrupted", answer)
        self._outbox.take_back(unheard)
        for item in unheard:
            self._memory.cut(item)
        return cut or bool(unheard)

    # ── the voice ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _speak(self, group: asyncio.TaskGroup) -> None:
        while True:
            while not self._wanted:
                self._asked.clear()
                await self._asked.wait()
            self._answer = _Answer(Utterance(f"item_{next(self._number)}"), self._wanted.popleft())
            self._giving = group.create_task(self._give(self._answer), name="cascade answers")
            await asyncio.wait([self._giving])
            self._answer = None

    async def _give(self, answer: _Answer) -> None:
        """Say one thing. What fails is told; what fails again ends the conversation."""
        try:
            if answer.words is None:
                await self._think(answer)
                self._failures = 0
            else:
                await self._utter(answer, _whole(answer.words))
                self._turn_done("completed", answer)
        except VoiceError as error:
            if answer.over:
                return
            self._failures += 1
            self._turn_done("failed", answer, str(error))
            if self._failures >= FAILURES or not (error.recoverable or error.code in OF_ONE_ANSWER):
                raise _EndError(Failed(str(error), error.code, recoverable=error.recoverable)) from error

    async def _think(self, answer: _Answer) -> None:
        """Have the model write, and speak it sentence by sentence; then its tools."""
        written: _Written = asyncio.Queue()
        speaking = asyncio.create_task(self._utter(answer, written), name="cascade utters")
        calls: list[ToolCall] = []
        reason = ""
        try:
            sentences = Sentences()
            model = self._texts.answer(
                self._memory.messages(), model=self._session.model, tools=self._tools, most=self._most
            )
            async with aclosing(within(model, WORD_WITHIN, "the text model")) as events:
                async for event in events:
                    match event:
                        case TextPart(text):
                            for sentence in sentences.feed(text):
                                written.put_nowait(sentence)
                        case ToolCall():
                            calls.append(replace(event, id=f"call_{next(self._number)}"))
                        case TextDone():
                            answer.spent, reason = event.usage, event.reason
                    if speaking.done():
                        await speaking  # it may have failed: then nobody needs the rest
            written.put_nowait(sentences.rest())
            written.put_nowait(None)
            await speaking
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)
        if calls:
            self._memory.calls(calls, answer.utterance)
            for call in calls:
                self._outbox.put(call)
        self._turn_done("completed", answer, "cut short: length" if reason == "length" else "")

    async def _utter(self, answer: _Answer, written: _Written) -> None:
        """Speak a text that may still be growing. Nothing is opened for one that stays empty."""
        utterance, session = answer.utterance, self._session
        first = await written.get()
        while first is not None and not first.strip():
            first = await written.get()
        if first is None:
            return
        self._memory.voice(utterance)
        async with aclosing(self._noted(answer, first, written)) as texts:
            speech = self._speaker.utter(texts, voice=session.voice, language=session.language, format=session.format)
            async with aclosing(within(speech, SOUND_WITHIN, "text to speech")) as sounds:
                async for sound in sounds:
                    if isinstance(sound, Said):
                        utterance.places.append(sound)
                    elif sound and not answer.over:
                        utterance.made_ms += len(sound) / session.format.bytes_per_ms
                        self._outbox.put(Audio(sound, utterance.item))
        utterance.whole = True
        if not answer.over:
            self._outbox.put(VoiceText(utterance.text.strip(), utterance.item, final=True))

    async def _noted(self, answer: _Answer, first: str, written: _Written) -> AsyncGenerator[str, None]:
        """The pieces of a text on their way to the synthesiser."""
        piece: str | None = first
        while piece is not None:
            if piece:
                answer.utterance.text += piece
                if not answer.over:
                    self._outbox.put(VoiceText(piece, answer.utterance.item))
                yield piece
            piece = await written.get()

    def _turn_done(self, status: Literal["completed", "interrupted", "failed"], answer: _Answer, why: str = "") -> None:
        answer.over = True
        utterance = answer.utterance
        self._bring([*self._bill.listening(), *self._bill.speech(utterance.text)])
        item = utterance.item if utterance.made_ms else None
        self._outbox.put(TurnDone(status, self._bill.text(answer.spent), item, detail=why))

    def _bring(self, bill: Sequence[Usage]) -> None:
        for usage in bill:
            self._outbox.put(Used(usage))

    def settle(self) -> Sequence[Usage]:
        """What was used since the last turn, with the answer that was cut off. See `providers.voice.Metered`."""
        answer, cut_off = self._answer, ""
        if answer is not None and not answer.over:
            answer.over, cut_off = True, answer.utterance.text
        return [*self._bill.listening(), *self._bill.speech(cut_off)]


def _whole(text: str) -> _Written:
    """A text that is known to its end."""
    written: _Written = asyncio.Queue()
    for piece in (*pieces(text), None):
        written.put_nowait(piece)
    return written
