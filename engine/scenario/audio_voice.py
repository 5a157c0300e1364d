"""The AI of a test by audio: it really speaks and really hears that somebody spoke; what was said it knows from the
script, as the rehearsal voice does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from engine.scenario.audio_recogniser import AudioRecogniser
from engine.virtual.voice import Says, VirtualProvider, VirtualVoice
from engine.virtual.words import Words, captioned
from providers.energy import EnergyDetector
from providers.voice import ULAW, AudioFormat, Session, Speaker

MIN_DELAY: Final = 0.5  # seconds of silence that end a turn, when the flow does not say


class Mouth:
    """Satisfies `providers.voice.Speaker`: real speech that carries its text ahead (`engine.virtual.words`), so that
    the line knows what is said; the text itself is never played."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._made: dict[tuple[str, str | None, str | None], bytes] = {}

    async def speak(
        self, text: str, *, voice: str | None = None, language: str | None = None, format: AudioFormat = ULAW
    ) -> bytes:
        """The text as speech; made once. Raises `providers.voice.VoiceError`."""
        key = (text, voice, language)
        if key not in self._made:
            audio = await self._speaker.speak(text, voice=voice, language=language, format=format)
            self._made[key] = captioned(text, audio)
        return self._made[key]

    def made(self, text: str, voice: str | None, language: str | None) -> bytes:
        """What `speak` made before."""
        return self._made[(text, voice, language)]


@dataclass(slots=True)
class AudioProvider(VirtualProvider):
    """The scripted voice with a real mouth and real ears. The caller tells it what they say: `said`, `speaking`."""

    pause: float = 0.05
    thinks: float = 0.1
    mouth: Mouth = field(kw_only=True)
    listeners: list[AudioRecogniser] = field(init=False, default_factory=list)  # every one that was ever made
    said: list[str] = field(init=False, default_factory=list)  # not yet heard by the voice
    speaking: bool = field(init=False, default=False)  # the caller is in the middle of a line

    def voice(self, session: Session) -> AudioVoice:
        """A voice for one conversation."""
        self.said.clear()  # it was said to somebody else
        voice = AudioVoice(self, session)
        self.voices.append(voice)
        return voice

    def speaker(self) -> Mouth:  # type: ignore[override]
        """The same mouth, for prompts."""
        return self.mouth

    def recogniser(  # type: ignore[override]
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> AudioRecogniser:
        """The same ears, for one answer."""
        self.listeners.append(AudioRecogniser(self, format, MIN_DELAY))
        return self.listeners[-1]

    def understood(self) -> str:
        """What the caller has said, for whoever heard that they spoke; it is theirs alone."""
        text = " ".join(self.said)
        self.said.clear()
        return text

    async def rehearse(self) -> None:
        """Make the speech of all replies that wait, so that none of them has to wait for it."""
        session = self.voices[-1].session if self.voices else Session()
        for reply in self.replies:
            for act in reply:
                if isinstance(act, Says):
                    await self.mouth.speak(act.text, voice=session.voice, language=session.language)

    def line_ended(self) -> None:
        """The caller's line was played to its end."""
        self.speaking = False
        for listener in (*self.voices[-1:], *self.listeners[-1:]):
            if isinstance(listener, AudioVoice | AudioRecogniser):
                listener.line_ended()


class AudioVoice(VirtualVoice):
    """One conversation. A turn ends when the line has been quiet, and the caller has no more to say."""

    def __init__(self, provider: AudioProvider, session: Session) -> None:
        super().__init__(provider, session)
        self._house = provider
        delay = MIN_DELAY if session.turns.min_delay is None else session.turns.min_delay
        self._ears = EnergyDetector(session.format, min_silence_ms=int(delay * 1000))

    @property
    def owes(self) -> bool:
        """Whether it has to say or to do something; else it listens."""
        return self.is_busy or len(self._tool_names) > len(self.results)

    async def send_audio(self, audio: bytes) -> None:
        """Hear the caller."""
        if self.closed:
            return
        for edge in self._ears.feed(audio):
            if edge.speaking:
                self._caller_speaks(Words(0, 0))  # what it is, the script knows
            elif not self._house.speaking:
                self._after_speech()

    async def say(self, text: str) -> None:
        """Speak this text to the letter."""
        await self._house.mouth.speak(text, voice=self.session.voice, language=self.session.language)
        await super().say(text)

    def line_ended(self) -> None:
        """The caller has no more to say; when that was quiet before, their turn is over now."""
        if self._turn and not self._ears.speaking:
            self._after_speech()

    def _understood(self) -> str:
        return self._house.understood()

    def _speech(self, act: Says) -> bytes:
        return self._house.mouth.made(act.text, self.session.voice, self.session.language)
