"""The rehearsal voice: a conversation without a key, a network or a model.

It speaks with flite, hears by energy and follows a script (`providers.script`). It is the voice of the demo and of
flow tests, and the last resort when every cloud is down. It does not understand speech and never claims to: no
`UserText` ever comes from it. Its recogniser (`providers.rehearsal_ears`) exists only where the setting ``hears``
says what callers are taken to say.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import count, cycle
from pathlib import Path
from typing import Any

from providers.energy import EnergyDetector
from providers.flite import VOICES, Flite, command, sentences
from providers.rehearsal_ears import RehearsalEars
from providers.script import FINISH, Call, Hear, Say, Step, fill, parse
from providers.voice import (
    ALAW,
    ULAW,
    Audio,
    AudioFormat,
    Capabilities,
    Failed,
    Interrupted,
    Ready,
    Session,
    SpeechStarted,
    SpeechStopped,
    Tool,
    ToolCall,
    TurnDone,
    VoiceError,
    VoiceEvent,
    VoiceText,
    Warned,
)

CAPABILITIES = Capabilities(formats=(ULAW, ALAW), verbatim=True, tools=True, turn_detection=True, recognises=True)
CHUNK_MS = 100  # of audio in an event
MIN_DELAY = 0.6  # seconds of silence that end a turn
PATIENCE = 2  # turns that are answered with an apology before a person is fetched
TOOL_PATIENCE = 120.0  # seconds; the engine bounds tools much sooner
APOLOGY = "I am sorry. I am a stand-in voice, and I cannot understand what you say. I can get a person for you."
FAREWELL = "I will get a person for you now. One moment, please."
EXITS_TO_A_PERSON = ("person", "human", "transfer", "operator", "agent", "staff")
OPTIONS = ("script", "patience", "apology", "farewell")

_sessions = count(1)


@dataclass(slots=True)
class _Utterance:
    """A text on its way to the caller."""

    text: str
    item: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class RehearsalVoice:
    """One conversation. See `providers.voice.Voice` for what the methods promise."""

    def __init__(self, flite: Flite, session: Session) -> None:
        self._flite = flite
        self._session = session
        self._script, self._patience, self._apology, self._farewell = _options(session.options)
        self._tools = {tool.name: tool for tool in session.tools}
        turns = session.turns
        self._ears = EnergyDetector(
            session.format,
            threshold=0.5 if turns.threshold is None else turns.threshold,
            min_silence_ms=int((MIN_DELAY if turns.min_delay is None else turns.min_delay) * 1000),
        )
        self._events: asyncio.Queue[VoiceEvent | None] = asyncio.Queue()
        self._texts: asyncio.Queue[_Utterance] = asyncio.Queue()
        self._current: _Utterance | None = None
        self._listened = asyncio.Event()
        self._heard = asyncio.Event()
        self._results: dict[str, asyncio.Future[str]] = {}
        self._number = count(1)
        self._ending = False
        self._closed = False
        self._life: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Begin. There is nothing to connect to, so it cannot fail."""
        self._life = asyncio.create_task(self._live(), name="rehearsal voice")

    async def events(self) -> AsyncIterator[VoiceEvent]:
        """Everything that happens, until `close`.

        The script begins when the owner has dealt with `Ready`: a greeting comes first.
        """
        yield Ready(f"rehearsal_{next(_sessions)}")
        self._listened.set()
        while (event := await self._events.get()) is not None:
            yield event

    async def send_audio(self, audio: bytes) -> None:
        """Hear the caller."""
        if self._closed:
            return
        for edge in self._ears.feed(audio):
            if edge.speaking:
                self._emit(SpeechStarted())
                if self._session.turns.interruptible:
                    self._cut()
            else:
                self._emit(SpeechStopped())
                self._heard.set()

    async def say(self, text: str) -> None:
        """Speak this text, after what is being said."""
        if not self._closed and text.strip():
            self._queue(text)

    async def answer(self) -> None:
        """Go on with the script as if the caller had spoken."""
        self._heard.set()

    async def interrupt(self) -> None:
        """Stop what is being said, and forget what was to be said next."""
        if not self._closed:
            self._cut()

    async def truncate(self, item: str, played_ms: int) -> None:
        """Nothing: a script does not depend on what was heard."""

    async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """The result of a tool, for ``${result…}``. ``respond=False`` ends the script."""
        self._ending = self._ending or not respond
        waiting = self._results.pop(call_id, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(output)

    async def update(self, *, instructions: str | None = None, tools: Sequence[Tool] | None = None) -> None:
        """Offer other tools; instructions mean nothing to a script."""
        if tools is not None:
            self._tools = {tool.name: tool for tool in tools}

    async def close(self) -> None:
        """Stop speaking and end ``events``."""
        self._closed = True
        if self._life is not None:
            self._life.cancel()
            await asyncio.wait([self._life])
        self._emit(None)

    # ── speaking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _emit(self, event: VoiceEvent | None) -> None:
        self._events.put_nowait(event)

    def _queue(self, text: str) -> _Utterance:
        utterance = _Utterance(text, f"item_{next(self._number)}")
        self._texts.put_nowait(utterance)
        return utterance

    def _cut(self) -> None:
        while not self._texts.empty():
            self._texts.get_nowait().ended.set()
        if self._current is not None and not self._current.ended.is_set():
            self._current.ended.set()
            self._emit(Interrupted())
            self._emit(TurnDone("interrupted", item=self._current.item))

    async def _live(self) -> None:
        """The mouth and the script, until closed; a broken synthesiser ends the conversation with a reason."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._speak_what_is_queued())
                group.create_task(self._follow())
        except* VoiceError as broken:
            error = broken.exceptions[0]
            if self._current is not None:
                self._emit(TurnDone("failed", item=self._current.item, detail=str(error)))
            self._emit(Failed(str(error), code="synthesiser"))
            self._emit(None)

    async def _speak_what_is_queued(self) -> None:
        while True:
            self._current = utterance = await self._texts.get()
            await self._speak(utterance)
            if not utterance.ended.is_set():
                utterance.ended.set()
                self._emit(VoiceText(utterance.text, utterance.item, final=True))
                self._emit(TurnDone("completed", item=utterance.item))
            self._current = None

    async def _speak(self, utterance: _Utterance) -> None:
        """Hand over the audio as fast as it is made, a sentence at a time."""
        session = self._session
        chunk = CHUNK_MS * session.format.bytes_per_ms
        for sentence in sentences(utterance.text):
            audio = await self._flite.sentence(sentence, session.voice, session.language, session.format)
            if utterance.ended.is_set():
                return
            self._emit(VoiceText(sentence + " ", utterance.item))
            for start in range(0, len(audio), chunk):
                self._emit(Audio(audio[start : start + chunk], utterance.item))

    # ── the script ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _follow(self) -> None:
        await self._listened.wait()
        if self._session.voice is not None and self._session.voice not in VOICES:
            self._emit(
                Warned(f"flite has no voice '{self._session.voice}' (has: {', '.join(VOICES)}); {VOICES[0]} speaks")
            )
        result: Any = None
        for step in self._script:
            match step:
                case Say():
                    self._heard.clear()
                    await self._queue(str(fill(step.text, result))).ended.wait()
                case Hear():
                    await self._heard.wait()
                    self._heard.clear()
                case Call():
                    result = await self._call(step.tool, fill(step.arguments, result))
            if self._ending:
                return
        await self._apologise()

    async def _apologise(self) -> None:
        """Without a script, or after it: be polite, be honest, and fetch a person when the step has an exit to one."""
        for turn in count(1):
            await self._heard.wait()
            self._heard.clear()
            way_out = self._exit_to_a_person()
            handing_over = way_out is not None and turn > self._patience
            await self._queue(self._farewell if handing_over else self._apology).ended.wait()
            if handing_over:
                await self._call(FINISH, {"exit": way_out})
            if self._ending:
                return

    def _exit_to_a_person(self) -> str | None:
        if FINISH not in self._tools:
            return None
        properties = self._tools[FINISH].parameters.get("properties") or {}
        exits = (properties.get("exit") or {}).get("enum") or ()
        return next((name for name in EXITS_TO_A_PERSON if name in exits), None)

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> Any:
        if tool not in self._tools:
            have = ", ".join(sorted(self._tools)) or "none"
            self._emit(
                Warned(f"the script calls the tool '{tool}', which this step does not have (has: {have})", "tool")
            )
            return None
        call_id = f"call_{next(self._number)}"
        self._results[call_id] = answer = asyncio.get_running_loop().create_future()
        self._emit(ToolCall(call_id, tool, arguments))
        self._emit(TurnDone("completed"))
        try:
            async with asyncio.timeout(TOOL_PATIENCE):
                return json.loads(await answer)
        except TimeoutError:
            self._emit(Warned(f"the tool '{tool}' gave no result in {TOOL_PATIENCE:.0f} s", "tool"))
        except ValueError:
            self._emit(Warned(f"the result of the tool '{tool}' is not JSON", "tool"))
        return None


class Rehearsal:
    """The provider: one synthesiser and its cache, shared by all conversations."""

    name = "rehearsal"

    def __init__(self, flite: Flite, *, foreign: bool, hears: Sequence[str] = ()) -> None:
        self._flite = flite
        self._hears = cycle(hears) if hears else None
        self.capabilities = replace(CAPABILITIES, recognises=bool(hears), languages=() if foreign else ("en",))

    def voice(self, session: Session) -> RehearsalVoice:
        """A voice for one conversation. Raises `VoiceError` when an option or the script is wrong."""
        if session.format not in self.capabilities.formats:
            raise VoiceError(
                f"the rehearsal voice speaks µ-law and A-law at 8000 Hz, not {session.format}", code="format"
            )
        return RehearsalVoice(self._flite, session)

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> RehearsalEars | None:
        """One that takes what callers say from the setting ``hears``; None without it, for nothing is understood."""
        return None if self._hears is None else RehearsalEars(format, self._hears)

    def text_model(self) -> None:
        """It has none."""

    def speaker(self) -> Flite:
        """Flite, for prompts."""
        return self._flite

    async def close(self) -> None:
        """Nothing is held open."""


def provider(settings: Mapping[str, str]) -> Rehearsal:
    """Entry point. Settings: ``flite``, ``espeak`` (a path or a JSON list of words; default: found on PATH), ``cache``,
    ``hears``.

    ``cache`` is a folder for the prompts; without it they are kept in memory only. ``hears`` is a text, or a JSON list
    of texts, that callers are taken to say, over and over.

    Raises:
        VoiceError: there is no flite, or ``hears`` is no list of texts.
    """
    flite = command(settings.get("flite"), "flite")
    if flite is None:
        raise VoiceError(
            "the rehearsal voice speaks with flite: install it (apt install flite) or set 'flite'", code="setting"
        )
    espeak = command(settings.get("espeak"), "espeak-ng")
    cache = settings.get("cache")
    speaker = Flite(flite, espeak=espeak, cache=Path(cache).expanduser() if cache else None)
    return Rehearsal(speaker, foreign=espeak is not None, hears=_texts(settings.get("hears", "")))


def _texts(setting: str) -> Sequence[str]:
    """A text, or a JSON list of texts."""
    if not setting.lstrip().startswith("["):
        return [setting] if setting.strip() else []
    try:
        texts = json.loads(setting)
    except ValueError:
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise VoiceError(f"the setting 'hears' must be a text or a JSON list of texts, not {setting}", code="setting")
    return texts


def _options(options: Mapping[str, Any]) -> tuple[tuple[Step, ...], int, str, str]:
    for name in options:
        if name not in OPTIONS:
            close = get_close_matches(name, OPTIONS, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise VoiceError(
                f"the rehearsal voice has no option '{name}'{hint}; it has {', '.join(OPTIONS)}", code="option"
            )
    patience = options.get("patience", PATIENCE)
    if not isinstance(patience, int) or patience < 0:
        raise VoiceError(f"patience must be a number of turns, not {patience!r}", code="option")
    texts = options.get("apology", APOLOGY), options.get("farewell", FAREWELL)
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise VoiceError("apology and farewell must be texts", code="option")
    return parse(options.get("script") or ()), patience, *texts
