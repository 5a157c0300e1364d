"""A vendor of the realtime protocol: its key, its address and what a flow may set. The vendors' modules fill it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession

from providers.chat import ChatModel
from providers.parts import Recogniser, TextModel
from providers.realtime import Realtime
from providers.realtime_dialects import Dialect
from providers.realtime_fields import Frame
from providers.realtime_socket import RealtimeVoice, open_http
from providers.voice import AudioFormat, Capabilities, Session, Speaker, VoiceError

Options = Mapping[str, Any]
COMMON: Mapping[str, tuple[type, ...]] = {"batch_ms": (int,), "answer_timeout": (int, float)}
ANSWER_TIMEOUT = 15.0  # seconds


@dataclass(frozen=True, slots=True)
class Vendor:
    """What is fixed about a vendor. ``options``: what a flow may set beside the common ones, and its types.

    ``configuration(session, options)`` makes the ``session`` object of the first session.update.
    """

    name: str
    label: str  # for people
    capabilities: Capabilities
    dialect: Dialect
    options: Mapping[str, tuple[type, ...]]
    configuration: Callable[[Session, Options], Frame]


class RealtimeProvider:
    """One account of a vendor, and one HTTP session for all its conversations.

    ``address(model)`` is the URL to connect to; ``headers`` carry ``secret``, which appears nowhere else.
    """

    def __init__(
        self,
        vendor: Vendor,
        *,
        address: Callable[[str], str],
        model: str,
        headers: Mapping[str, str],
        secret: str,
        defaults: Options | None = None,
        texts: ChatModel | None = None,
    ) -> None:
        self.name = vendor.name
        self.capabilities = vendor.capabilities
        self._vendor = vendor
        self._address = address
        self._model = model
        self._headers = headers
        self._secret = secret
        self._defaults = {} if defaults is None else defaults
        self._texts = texts
        self._http: ClientSession | None = None

    def voice(self, session: Session) -> RealtimeVoice:
        """A voice for one conversation.

        Raises `VoiceError` when an option is wrong or the audio format is not offered.
        """
        vendor, options = self._vendor, self._options(session)
        model = session.model or self._model
        realtime = Realtime(
            session, vendor.configuration(session, options), secret=self._secret, dialect=vendor.dialect, model=model
        )
        return RealtimeVoice(
            vendor.label,
            self.http,
            self._address(model),
            self._headers,
            realtime,
            batch=int(options.get("batch_ms", 0)) * session.format.bytes_per_ms,
            answer_timeout=float(options.get("answer_timeout", ANSWER_TIMEOUT)),
            expires_after=vendor.capabilities.max_session,
        )

    def _options(self, session: Session) -> Options:
        """What holds for one conversation. Raises `VoiceError`."""
        self._takes(session.format)
        vendor = self._vendor
        return {**self._defaults, **checked_options(vendor.name, {**vendor.options, **COMMON}, session.options)}

    def _takes(self, format: AudioFormat) -> None:
        vendor = self._vendor
        if format not in vendor.capabilities.formats:
            offered = ", ".join(f"{each.encoding} at {each.rate // 1000} kHz" for each in vendor.capabilities.formats)
            raise VoiceError(f"{vendor.label} takes {offered}; not {format}", code="format")

    def http(self) -> ClientSession:
        """The HTTP session that all conversations share."""
        if self._http is None or self._http.closed:
            self._http = open_http()
        return self._http

    def recogniser(
        self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()
    ) -> Recogniser | None:
        """It has none."""
        return None

    def text_model(self) -> TextModel | None:
        """The one that it was given: chat completions of the same account."""
        return self._texts

    def speaker(self) -> Speaker | None:
        """None: a realtime model speaks inside a conversation only."""
        return None

    async def close(self) -> None:
        """Close the shared connections."""
        if self._texts is not None:
            await self._texts.close()
        if self._http is not None:
            await self._http.close()


def needed(settings: Mapping[str, str], name: str, voice: str, variable: str) -> str:
    """A setting that a voice cannot do without. Raises `VoiceError` naming the environment variable that sets it."""
    value = settings.get(name, "").strip()
    if not value:
        what = "an API key" if name == "api_key" else f"the setting {name}"
        raise VoiceError(f"the {voice} voice needs {what}: set {variable}", code="setting")
    return value


def websocket_address(url: str, setting: str) -> str:
    """A base URL as a websocket's, without a slash at its end. Raises `VoiceError` when it is none."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise VoiceError(f"{setting} must be a wss:// or https:// address, not '{url}'", code="setting")
    return url.rstrip("/").replace("http", "ws", 1) if parts.scheme.startswith("http") else url.rstrip("/")


def checked_options(voice: str, known: Mapping[str, tuple[type, ...]], options: Options) -> Options:
    """The options of a step. Raises `VoiceError` on one that the voice does not have or that has a wrong type."""
    for name, value in options.items():
        kinds = known.get(name)
        if kinds is None:
            close = get_close_matches(name, known, n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise VoiceError(
                f"the {voice} voice has no option '{name}'{hint}; it has {', '.join(known)}", code="option"
            )
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise VoiceError(f"option '{name}' of the {voice} voice must be {wanted}, not {value!r}", code="option")
    return options


def detection(session: Session, option: Mapping[str, Any] | None) -> dict[str, Any]:
    """``turn_detection``: the flow's own object if it gives one, else the server's energy detector with our knobs."""
    turns = session.turns
    always = {"create_response": True, "interrupt_response": turns.interruptible}
    if option is not None:
        return {**option, **always}
    return {
        "type": "server_vad",
        **always,
        **given({
            "threshold": turns.threshold,
            "silence_duration_ms": _ms(turns.min_delay),
            "prefix_padding_ms": _ms(turns.prefix_padding),
        }),
    }  # fmt: skip


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody set: the vendor's own default holds for the rest."""
    return {name: value for name, value in fields.items() if value is not None}


def base_language(session: Session) -> str | None:
    """``en`` of ``en-US``."""
    return session.language.split("-")[0].lower() if session.language else None


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
