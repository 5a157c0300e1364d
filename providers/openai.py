"""OpenAI's Realtime API (GA): speech to speech, µ-law or A-law both ways, over one websocket. And, for what is written,
its text models.

Source: platform.openai.com/docs/api-reference/realtime. Settings and options are described in docs/voices.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import ClientSession

from providers import chat
from providers.chat import ChatModel
from providers.realtime import Realtime
from providers.realtime_fields import tool_definitions
from providers.realtime_socket import EXPIRES_AFTER, RealtimeVoice, open_http
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session, Speaker, VoiceError

BASE_URL = "wss://api.openai.com/v1"
MODEL = "gpt-realtime-2.1"
TRANSCRIPTION_MODEL = "gpt-transcribe"
VOICE = "marin"
FORMATS = {
    "ulaw": {"type": "audio/pcmu"},
    "alaw": {"type": "audio/pcma"},
    "pcm16": {"type": "audio/pcm", "rate": 24000},
}
CAPABILITIES = Capabilities(
    formats=(ULAW, ALAW, AudioFormat("pcm16", 24000)),
    truncation=True,
    tools=True,
    understands=True,
    turn_detection=True,
    writes=True,
    max_session=EXPIRES_AFTER,
)
OPTIONS: Mapping[str, tuple[type, ...]] = {
    "turn_detection": (dict,),
    "noise_reduction": (str,),
    "transcription_model": (str,),
    "keywords": (list,),
    "speed": (int, float),
    "reasoning_effort": (str,),
    "max_output_tokens": (int,),
    "batch_ms": (int,),
    "answer_timeout": (int, float),
}


class OpenAI:
    """The provider: the key, and one HTTP session for all conversations."""

    name = "openai"
    capabilities = CAPABILITIES

    def __init__(
        self, *, api_key: str, base_url: str, model: str, transcription_model: str, text_model: str = chat.MODEL
    ) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._model = model
        self._transcription_model = transcription_model
        self._http: ClientSession | None = None
        url = base_url.replace("ws", "http", 1) if base_url.startswith("ws") else base_url
        self._texts = ChatModel("OpenAI", base_url=url, model=text_model, api_key=api_key)

    def voice(self, session: Session) -> RealtimeVoice:
        """A voice for one conversation.

        Raises `VoiceError` when an option is wrong or the audio format is not offered.
        """
        if session.format not in self.capabilities.formats:
            raise VoiceError(f"OpenAI takes µ-law, A-law and 24 kHz PCM, not {session.format}", code="format")
        options = _checked(session.options)
        url = f"{self._base_url}/realtime?model={quote(session.model or self._model, safe='')}"
        transcription = str(options.get("transcription_model", self._transcription_model))
        realtime = Realtime(session, configuration(session, transcription, options), secret=self._api_key)
        return RealtimeVoice(
            "OpenAI",
            self._shared_http,
            url,
            {"Authorization": f"Bearer {self._api_key}"},
            realtime,
            batch=int(options.get("batch_ms", 0)) * session.format.bytes_per_ms,
            answer_timeout=float(options.get("answer_timeout", 15.0)),
        )

    def _shared_http(self) -> ClientSession:
        if self._http is None or self._http.closed:
            self._http = open_http()
        return self._http

    def recogniser(self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()) -> None:
        """It has none."""

    def text_model(self) -> ChatModel:
        """Chat completions under the same address and key."""
        return self._texts

    def speaker(self) -> Speaker | None:
        """None: the realtime model does not read texts to the letter."""
        return None

    async def close(self) -> None:
        """Close the shared connections."""
        await self._texts.close()
        if self._http is not None:
            await self._http.close()


def provider(settings: Mapping[str, str]) -> OpenAI:
    """Entry point. Settings: ``api_key`` (needed), ``base_url``, ``model``, ``transcription_model``, ``text_model``.

    Raises:
        VoiceError: there is no key, or the base URL is none.
    """
    api_key = settings.get("api_key", "").strip()
    if not api_key:
        raise VoiceError("the openai voice needs an API key: set OPENAI_API_KEY", code="setting")
    base_url = settings.get("base_url", BASE_URL).rstrip("/")
    url = urlsplit(base_url)
    if url.scheme not in ("ws", "wss", "http", "https") or not url.hostname:
        raise VoiceError(f"base_url must be a wss:// address, not '{base_url}'", code="setting")
    return OpenAI(
        api_key=api_key,
        base_url=base_url,
        model=settings.get("model", MODEL),
        transcription_model=settings.get("transcription_model", TRANSCRIPTION_MODEL),
        text_model=settings.get("text_model", chat.MODEL),
    )


def configuration(session: Session, transcription_model: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The ``session`` object of session.update. What nobody set is left out, so that the vendor's own default holds."""
    format = FORMATS[session.format.encoding]
    transcription = {"model": transcription_model, "keywords": options.get("keywords")}
    if session.language:
        transcription["language"] = session.language.split("-")[0].lower()
    hearing = {
        "format": format,
        "transcription": _given(transcription),
        "turn_detection": _turn_detection(session, options.get("turn_detection")),
        "noise_reduction": {"type": options["noise_reduction"]} if "noise_reduction" in options else None,
    }
    speaking = {"format": format, "voice": session.voice or VOICE, "speed": options.get("speed")}
    return {
        "type": "realtime",
        "output_modalities": ["audio"],
        "audio": {"input": _given(hearing), "output": _given(speaking)},
        "tools": tool_definitions(session.tools),
        **_given({
            "instructions": session.instructions or None,
            "reasoning": {"effort": options["reasoning_effort"]} if "reasoning_effort" in options else None,
            "max_output_tokens": options.get("max_output_tokens"),
        }),
    }  # fmt: skip


def _turn_detection(session: Session, option: Mapping[str, Any] | None) -> dict[str, Any]:
    """The flow's own object if it gives one, else the server's energy detector with the knobs of `Turns`."""
    turns = session.turns
    always = {"create_response": True, "interrupt_response": turns.interruptible}
    if option is not None:
        return {**option, **always}
    return {
        "type": "server_vad",
        **always,
        **_given({
            "threshold": turns.threshold,
            "silence_duration_ms": _ms(turns.min_delay),
            "prefix_padding_ms": _ms(turns.prefix_padding),
        }),
    }  # fmt: skip


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _checked(options: Mapping[str, Any]) -> Mapping[str, Any]:
    for name, value in options.items():
        kinds = OPTIONS.get(name)
        if kinds is None:
            close = get_close_matches(name, OPTIONS, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise VoiceError(
                f"the openai voice has no option '{name}'{hint}; it has {', '.join(OPTIONS)}", code="option"
            )
        if not isinstance(value, kinds) or isinstance(value, bool):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise VoiceError(f"option '{name}' of the openai voice must be {wanted}, not {value!r}", code="option")
    return options
