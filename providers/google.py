"""Google as a cascade: Speech-to-Text v2 hears, a text model thinks, streaming Text-to-Speech speaks.

It needs Google's own packages (``pip install 'hookflash[google]'``), which are imported when the provider is made.
Settings and options are described in docs/voices.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from providers.cascade import Cascade
from providers.chat import ChatModel
from providers.realtime_provider import checked_options
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session, VoiceError

if TYPE_CHECKING:
    from google.cloud.speech_v2.services.speech import SpeechAsyncClient
    from google.cloud.texttospeech_v1.services.text_to_speech import TextToSpeechAsyncClient

    from providers.google_client import Account, Connections
    from providers.google_listening import GoogleRecogniser
    from providers.google_speaking import GoogleSpeaker

TEXT_URL = "https://generativelanguage.googleapis.com/v1beta/openai"
TEXT_MODEL = "gemini-2.5-flash-lite"  # does not think unless told to: it answers at once
LISTENING_MODEL = "telephony"
LANGUAGE = "en-US"
CAPABILITIES = Capabilities(
    formats=(ULAW, ALAW), verbatim=True, truncation=True, tools=True, understands=True, turn_detection=True,
    recognises=True, writes=True,
)  # fmt: skip
OPTIONS: Mapping[str, tuple[type, ...]] = {
    "endpointing": (str,),
    "hints": (list,),
    "listening_model": (str,),
    "max_output_tokens": (int,),
    "speaking_rate": (int, float),
}
ENDPOINTING = ("standard", "short", "supershort")
MOST_HINTS = 500  # phrases


class Google:
    """One account. Its connections are shared by all conversations."""

    name = "google"

    def __init__(
        self, account: Account, *, listening_url: str, speech_url: str, location: str, listening_model: str,
        voice: str | None, texts: ChatModel | None,
    ) -> None:  # fmt: skip
        self._account = account
        self._location = location
        self._listening_model = listening_model
        self._voice = voice
        self._texts = texts
        self.capabilities = replace(CAPABILITIES, writes=texts is not None)
        self._listening, self._speech = _connections(account, listening_url, speech_url)

    def voice(self, session: Session) -> Cascade:
        """A voice for one conversation. Raises `VoiceError` when an option is wrong or there is no text model."""
        options = checked_options(self.name, OPTIONS, session.options)
        if self._texts is None:
            text = "the google voice thinks with a text model, and that needs a key: set "
            raise VoiceError(f"{text}HOOKFLASH_VOICES_GOOGLE_TEXT_API_KEY", code="setting")
        self._speech.warm()
        return Cascade(
            session,
            recogniser=self._recogniser(session.format, session.language, options),
            texts=self._texts,
            speaker=self._speaker(options.get("speaking_rate")),
            most=options.get("max_output_tokens"),
        )

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> GoogleRecogniser:
        """One stretch of listening. Raises `VoiceError` when the format is not offered."""
        return self._recogniser(format, language, {"hints": list(hints)})

    def text_model(self) -> ChatModel | None:
        """The model behind ``text_url``, when there is a key for it."""
        return self._texts

    def speaker(self) -> GoogleSpeaker:
        """Text to speech, to the letter."""
        return self._speaker(None)

    async def close(self) -> None:
        """Close the shared connections."""
        await self._listening.close()
        await self._speech.close()
        if self._texts is not None:
            await self._texts.close()

    def _speaker(self, rate: float | None) -> GoogleSpeaker:
        from providers.google_speaking import GoogleSpeaker

        return GoogleSpeaker(self._speech, voice=self._voice, rate=rate)

    def _recogniser(self, format: AudioFormat, language: str | None, options: Mapping[str, Any]) -> GoogleRecogniser:
        from providers.google_listening import GoogleRecogniser, opening

        first = opening(
            f"projects/{self._account.project}/locations/{self._location}/recognizers/_",
            format=format,
            language=language or LANGUAGE,
            model=options.get("listening_model", self._listening_model),
            hints=_hints(options.get("hints", [])),
            endpointing=_endpointing(options.get("endpointing", "")),
        )
        return GoogleRecogniser(self._listening, first, format)


def provider(settings: Mapping[str, str]) -> Google:
    """Entry point. Settings: ``credentials``, ``api_key`` or ``identity``; ``project``, ``location``,
    ``listening_model``, ``voice``, ``text_url``, ``text_model``, ``text_api_key``; ``listening_url`` and
    ``speech_url`` for a server of your own.

    Raises:
        VoiceError: Google's packages are not installed, or a setting is missing or wrong.
    """
    try:
        import providers.google_listening
        import providers.google_speaking  # noqa: F401 - all that is needed, now and not in a call
        from providers.google_client import account
    except ImportError as error:
        text = f"the google voice needs Google's packages: pip install 'hookflash[google]' ({error})"
        raise VoiceError(text, code="import") from error
    api_key = settings.get("api_key", "").strip()
    credentials, project = settings.get("credentials", "").strip(), settings.get("project", "").strip()
    if settings.get("account") and not (credentials or api_key):
        raise VoiceError("the google voice needs the key file (credentials) or api_key of this account", code="setting")
    machine = settings.get("identity", "") == "machine"
    found = account(credentials=credentials, api_key=api_key, project=project, machine=machine)
    location = settings.get("location", "global")
    host = "speech.googleapis.com" if location == "global" else f"{location}-speech.googleapis.com"
    text_url = settings.get("text_url", TEXT_URL)
    text_key = settings.get("text_api_key", "").strip() or (api_key if text_url == TEXT_URL else "")
    texts = None
    if text_key or text_url != TEXT_URL:
        texts = ChatModel("google", base_url=text_url, model=settings.get("text_model", TEXT_MODEL), api_key=text_key)
    return Google(
        found,
        listening_url=settings.get("listening_url", f"https://{host}"),
        speech_url=settings.get("speech_url", "https://texttospeech.googleapis.com"),
        location=location,
        listening_model=settings.get("listening_model", LISTENING_MODEL),
        voice=settings.get("voice"),
        texts=texts,
    )


def _hints(hints: Sequence[Any]) -> list[str]:
    if not all(isinstance(hint, str) and hint.strip() for hint in hints) or len(hints) > MOST_HINTS:
        raise VoiceError(f"option 'hints' of the google voice must be at most {MOST_HINTS} texts", code="option")
    return list(hints)


def _endpointing(name: str) -> str:
    if name and name not in ENDPOINTING:
        listed = ", ".join(ENDPOINTING)
        raise VoiceError(f"option 'endpointing' of the google voice is one of {listed}, not '{name}'", code="option")
    return name


def _connections(
    account: Account, listening_url: str, speech_url: str
) -> tuple[Connections[SpeechAsyncClient], Connections[TextToSpeechAsyncClient]]:
    from providers.google_client import Connections
    from providers.google_listening import make_client as make_listening
    from providers.google_speaking import make_client as make_speaking

    return Connections(listening_url, account, make_listening), Connections(speech_url, account, make_speaking)
