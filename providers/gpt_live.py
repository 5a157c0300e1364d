"""OpenAI's GPT-Live: a voice that listens while it speaks, over one websocket, and hands on what it cannot do itself.

The voice knows no tools. By default it delegates to us: a text model of the same account reads the talk, uses the
flow's tools and has the result spoken (`providers.delegate`). With the option ``delegation: responses`` a text model
inside the vendor's session does that, and calls the tools from there. Source: the Live API of platform.openai.com.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from providers import chat
from providers.chat import ChatModel
from providers.delegate import Delegate
from providers.duplex import Duplex
from providers.duplex_voice import DuplexVoice
from providers.realtime_dialects import OPENAI
from providers.realtime_fields import tool_definitions
from providers.realtime_provider import (
    ANSWER_TIMEOUT,
    Options,
    RealtimeProvider,
    Vendor,
    given,
    needed,
    websocket_address,
)
from providers.voice import ALAW, ULAW, AudioFormat, Capabilities, Session, Tool, Utterance, VoiceError

BASE_URL = "wss://api.openai.com/v1"
MODEL = "gpt-live-1"
VOICE = "marin"
EXPIRES_AFTER = 7200.0  # seconds, when the provider does not tell
MOST_ITEMS, MOST_HISTORY = 128, 20_000  # what was said before: messages, and characters (the vendor takes 8,192 tokens)
FORMATS = {"ulaw": "audio/pcmu", "alaw": "audio/pcma", "pcm16": "audio/pcm"}
CAPABILITIES = Capabilities(
    formats=(ULAW, ALAW, AudioFormat("pcm16", 16000), AudioFormat("pcm16", 24000)),
    tools=True,
    understands=True,
    turn_detection=True,
    duplex=True,
    writes=True,
    max_session=EXPIRES_AFTER,
)
DELEGATION = ("client", "responses")
OPTIONS: Mapping[str, tuple[type, ...]] = {
    "delegation": (str,),
    "delegate_model": (str,),
    "acknowledgement_delay_ms": (int,),
    "reasoning_effort": (str,),
}
_HANDS_ON = (
    "You cannot look anything up or do anything yourself: hand it on, and say what comes back. Never make up a result. "
    "Hand on whenever the conversation calls for one of these, also when it is time to end it:"
)


def configuration(session: Session, options: Options) -> dict[str, Any]:
    """The ``session`` object of session.start: what it does not know it refuses."""
    format = session.format
    language = f"Speak {session.language} unless the caller speaks another language." if session.language else ""
    told = "\n\n".join(part for part in (session.instructions, language, abilities(session.tools)) if part)
    return {
        "model": session.model or options["model"],
        "audio": {
            "format": {"type": FORMATS[format.encoding], "rate": format.rate},
            "output": {"voice": session.voice or VOICE},
        },
        "delegation": _delegation(session, options),
        "store": False,
        **given({"instructions": told or None, "input": history(session.history) or None}),
    }


def _delegation(session: Session, options: Options) -> dict[str, Any]:
    delay = given({"acknowledgement_delay_ms": options.get("acknowledgement_delay_ms")})
    kind = options["delegation"]
    if kind not in DELEGATION:
        raise VoiceError(
            f"option 'delegation' of the gpt-live voice must be {' or '.join(DELEGATION)}, not {kind!r}", code="option"
        )
    if kind == "client":
        return {"type": "client", **delay}
    responses = {
        "model": options["delegate_model"],
        "tools": tool_definitions(session.tools),
        **given({
            "instructions": session.instructions or None,
            "reasoning": {"effort": options["reasoning_effort"]} if "reasoning_effort" in options else None,
        }),
    }  # fmt: skip
    return {"type": "responses", "responses": responses, **delay}


def abilities(tools: Sequence[Tool]) -> str:
    """What the voice is told of tools that it does not know: when to hand something on."""
    return "\n".join((_HANDS_ON, *(f"- {tool.name}: {tool.description}" for tool in tools))) if tools else ""


def history(said: Sequence[Utterance]) -> list[dict[str, Any]]:
    """The newest of what was said before, as the vendor takes it."""
    items: list[dict[str, Any]] = []
    length = 0
    for one in reversed(said[-MOST_ITEMS:]):
        length += len(one.text)
        if length > MOST_HISTORY:
            break
        role, kind = ("user", "input_text") if one.role == "caller" else ("assistant", "output_text")
        items.append({"type": "message", "role": role, "content": [{"type": kind, "text": one.text}]})
    return items[::-1]


VENDOR = Vendor("gpt-live", "GPT-Live", CAPABILITIES, OPENAI, OPTIONS, configuration)


class GptLive(RealtimeProvider):
    """The provider: the key, one HTTP session for all conversations, and the text model that works behind them."""

    def voice(self, session: Session) -> DuplexVoice:
        """A voice for one conversation.

        Raises `VoiceError` when an option is wrong or the audio format is not offered.
        """
        options = self._options(session)
        asked = configuration(session, options)
        delegate = None
        if asked["delegation"]["type"] == "client":
            assert self._texts is not None
            delegate = Delegate(self._texts, session.instructions, session.tools, name=options["delegate_model"])
        wire = Duplex(
            session, asked, secret=self._secret, answer_timeout=float(options.get("answer_timeout", ANSWER_TIMEOUT))
        )
        return DuplexVoice(
            VENDOR.label, self.http, self._address(""), self._headers, wire, delegate=delegate,
            batch=int(options.get("batch_ms", 0)) * session.format.bytes_per_ms, expires_after=EXPIRES_AFTER,
        )  # fmt: skip


def provider(settings: Mapping[str, str]) -> GptLive:
    """Entry point. Settings: ``api_key`` (needed), ``base_url``, ``model``, ``delegation``, ``text_model`` (who does
    the work).

    Raises:
        VoiceError: there is no key, or the base URL is none.
    """
    key = needed(settings, "api_key", "gpt-live", "OPENAI_API_KEY")
    base = websocket_address(settings.get("base_url", BASE_URL), "base_url")
    writes = settings.get("text_model", chat.MODEL)
    return GptLive(
        VENDOR,
        address=lambda _: f"{base}/live/sessions",
        model=settings.get("model", MODEL),
        headers={"Authorization": f"Bearer {key}"},
        secret=key,
        defaults={
            "model": settings.get("model", MODEL),
            "delegation": settings.get("delegation", "client"),
            "delegate_model": writes,
        },
        texts=ChatModel("OpenAI", base_url=base.replace("ws", "http", 1), model=writes, api_key=key),
    )
