"""A text model behind an OpenAI-compatible ``/chat/completions``: OpenAI, Azure, vLLM, Ollama, llama.cpp and others.

What differs between servers (none of it was tried on a live account):

- OpenAI's reasoning models refuse ``max_tokens``; Ollama (0.32) takes ``max_completion_tokens`` and ignores it. So the
  vendors' own hosts get the new name and all others the old one.
- Ollama and vLLM need no key.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from providers.completion import CODE, Completion, request
from providers.parts import Message, TextEvent
from providers.sse import SseError, SseReader
from providers.voice import AudioFormat, Capabilities, Session, Tool, VoiceError

BASE_URL = "https://api.openai.com/v1"
MODEL = "gpt-5.4-mini"  # does not reason unless told to: it answers at once
CAPABILITIES = Capabilities(formats=(), writes=True)

CONNECT_WITHIN = 5.0  # seconds
FIRST_WITHIN = 15.0  # seconds from the request to the first part of the answer
NEXT_WITHIN = 10.0  # seconds between two parts
REST_WITHIN = 0.2  # seconds for the end of the body, behind the end of the answer
TRIES = 3  # before the first part came
LONGEST_WAIT = 5.0  # seconds that a Retry-After may ask for; whoever asks for more is not asked again
MAX_REFUSAL = 64 * 1024  # bytes of an error's body that are read

_VENDORS = (".openai.com", ".openai.azure.com", ".services.ai.azure.com")  # whose models take max_completion_tokens
_FATAL = frozenset({"insufficient_quota", "invalid_api_key", "account_deactivated", "billing_hard_limit_reached"})
_BACKOFF = wait_random_exponential(0.2, max=2.0)
_ADVICE = {
    400: "check the model and what it can do",
    401: "the API key is wrong or missing",
    403: "the API key may not use this model",
    404: "there is no such model, or the base URL is wrong",
    413: "the text is too long for this server",
    429: "too many requests, or the quota is used up",
}


class _RefusedError(VoiceError):
    """An HTTP status instead of an answer. ``wait``: seconds after which the server would be asked again."""

    def __init__(self, message: str, *, code: str, recoverable: bool, wait: float | None) -> None:
        super().__init__(message, code=code, recoverable=recoverable)
        self.wait = wait


class ChatModel:
    """Satisfies `providers.parts.TextModel`. ``name`` is what errors call it; the key stands in none of them."""

    def __init__(self, name: str, *, base_url: str, model: str, api_key: str = "") -> None:
        self._name = name
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._model = model
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        host = f".{urlsplit(base_url).hostname or ''}"
        self._most_key = "max_completion_tokens" if host.endswith(_VENDORS) else "max_tokens"
        self._http: ClientSession | None = None

    async def answer(
        self,
        messages: Sequence[Message],
        *,
        model: str | None = None,
        tools: Sequence[Tool] = (),
        schema: Mapping[str, Any] | None = None,
        most: int | None = None,
    ) -> AsyncIterator[TextEvent]:
        """See `providers.parts.TextModel`. It is asked up to three times until the first part came, never after it."""
        body = request(
            messages, model=model or self._model, tools=tools, schema=schema, most=most, most_key=self._most_key
        )
        stream = _Stream(self._name, model or self._model)
        try:
            async for attempt in AsyncRetrying(
                stop=stop_after_attempt(TRIES), wait=_wait, retry=retry_if_exception(_may_help), reraise=True
            ):
                with attempt:
                    first = await self._begin(stream, body)
            for event in first:
                yield event
            while not stream.is_over:
                for event in await stream.more(NEXT_WITHIN):
                    yield event
            await stream.rest()
        finally:
            stream.close()

    async def _begin(self, stream: _Stream, body: Mapping[str, Any]) -> list[TextEvent]:
        """Ask, and wait for the first part of the answer. Raises `VoiceError`."""
        stream.close()
        try:
            async with asyncio.timeout(FIRST_WITHIN):
                response = await self._session().post(
                    self._url, json=body, headers=self._headers, allow_redirects=False
                )
                if response.status != 200:
                    await _refuse(self._name, response)
                stream.open(response)
                while not (events := await stream.more(FIRST_WITHIN)) and not stream.is_over:
                    pass
                return events
        except (ClientError, OSError) as error:
            if isinstance(error, TimeoutError) and not isinstance(error, ClientError):
                text, code = f"{self._name} did not begin to answer within {FIRST_WITHIN:g} s", "timeout"
            else:
                text = f"{self._name} cannot be reached: {_reason(error)}; check the network and base_url"
                code = "unreachable"
            # Not chained: errors of the client hold the request, and with it the key.
            raise VoiceError(text, code=code, recoverable=True) from None

    def _session(self) -> ClientSession:
        if self._http is None or self._http.closed:
            self._http = ClientSession(
                connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None, sock_connect=CONNECT_WITHIN),
            )  # fmt: skip
        return self._http

    async def close(self) -> None:
        """Close the shared connections."""
        if self._http is not None:
            await self._http.close()

    def __repr__(self) -> str:
        return f"ChatModel({self._name!r}, {self._url!r}, model={self._model!r})"


class _Stream:
    """The answer as it arrives. `open` begins anew."""

    def __init__(self, name: str, model: str) -> None:
        self._name = name
        self._model = model
        self._response: ClientResponse | None = None

    def open(self, response: ClientResponse) -> None:
        """Read from this response."""
        self._response, self._sse, self._completion = response, SseReader(), Completion(self._model)

    @property
    def is_over(self) -> bool:
        """Whether the server has told the end of its answer."""
        return self._completion.is_over

    async def more(self, within: float) -> list[TextEvent]:
        """What the next piece of the network brings, perhaps nothing. Raises `VoiceError`."""
        assert self._response is not None
        try:
            async with asyncio.timeout(within):
                piece = await self._response.content.readany()
            if not piece:
                return self._completion.end()
            return [event for data in self._sse.feed(piece) for event in self._completion.feed(data)]
        except ClientError:
            raise VoiceError(f"{self._name}: the answer broke off", code="broken_off", recoverable=True) from None
        except TimeoutError:
            text = f"{self._name} sent nothing for {within:g} s in the middle of an answer"
            raise VoiceError(text, code="timeout", recoverable=True) from None
        except SseError as error:
            raise VoiceError(f"{self._name}: {error}; check base_url", code="format") from None
        except VoiceError as error:
            raise VoiceError(f"{self._name}: {error}", code=error.code, recoverable=error.recoverable) from None

    async def rest(self) -> None:
        """Read what is left behind the answer, which is nothing: then the next one can use the connection."""
        assert self._response is not None
        with suppress(ClientError, OSError):
            async with asyncio.timeout(REST_WITHIN):
                while await self._response.content.readany():
                    pass

    def close(self) -> None:
        """Stop the model, when it still answers."""
        if self._response is not None:
            self._response.close()


async def _refuse(name: str, response: ClientResponse) -> NoReturn:
    """Raise what a status means. Of the vendor's words only codes are repeated: sentences may hold what was asked."""
    try:
        raw = await response.content.read(MAX_REFUSAL)
    finally:
        response.close()
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError):
        told = None
    error = told.get("error") if isinstance(told, dict) else None
    words = [error.get(key) for key in ("code", "type", "param")] if isinstance(error, dict) else []
    codes = list(dict.fromkeys(word for word in words if isinstance(word, str) and CODE.fullmatch(word)))
    status = response.status
    said = f" ({', '.join(codes)})" if codes else ""
    advice = _ADVICE.get(status, "try again later" if status >= 500 else "check base_url")
    raise _RefusedError(
        f"{name} answered HTTP {status}{said}: {advice}",
        code=f"http_{status}",
        recoverable=(status == 429 or status >= 500) and not _FATAL & set(codes),
        wait=_retry_after(response.headers.get("Retry-After")),
    )


def _retry_after(value: str | None) -> float | None:
    """Seconds (RFC 9110, 10.2.3). A date is not worth reading: nobody on the telephone waits so long."""
    return float(value) if value is not None and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,3})?", value.strip()) else None


def _may_help(error: BaseException) -> bool:
    """Whether to ask again. What has taken its whole time is not asked again: somebody waits on the telephone."""
    if isinstance(error, _RefusedError) and (error.wait or 0) > LONGEST_WAIT:
        return False
    return isinstance(error, VoiceError) and error.recoverable and error.code != "timeout"


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    wait = getattr(error, "wait", None)
    return _BACKOFF(state) if wait is None else float(wait)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


class Chat:
    """The provider: a text model and nothing else."""

    name = "chat"
    capabilities = CAPABILITIES

    def __init__(self, model: ChatModel) -> None:
        self._model = model

    def voice(self, session: Session) -> NoReturn:
        """It has no voice. Raises `VoiceError`."""
        raise VoiceError(
            "the provider 'chat' reads and writes but has no voice; name another in converse", code="voice"
        )

    def recogniser(self, *, format: AudioFormat, language: str | None = None, hints: Sequence[str] = ()) -> None:
        """It has none."""

    def text_model(self) -> ChatModel:
        """The model behind ``base_url``."""
        return self._model

    def speaker(self) -> None:
        """It has none."""

    async def close(self) -> None:
        """Close the shared connections."""
        await self._model.close()


def provider(settings: Mapping[str, str]) -> Chat:
    """Entry point. Settings: ``base_url``, ``api_key`` (servers of your own may need none), ``model`` (needed with a
    ``base_url``).

    Raises:
        VoiceError: a setting is missing, or the base URL is none.
    """
    base_url = settings.get("base_url", "").strip()
    api_key = settings.get("api_key", "").strip()
    if not base_url and not api_key:
        text = "chat needs a key for OpenAI, or the address of another server: set HOOKFLASH_VOICES_CHAT_API_KEY or "
        raise VoiceError(f"{text}HOOKFLASH_VOICES_CHAT_BASE_URL", code="setting")
    model = settings.get("model", "" if base_url else MODEL).strip()
    if not model:
        raise VoiceError("chat needs the name of a model of base_url: set HOOKFLASH_VOICES_CHAT_MODEL", code="setting")
    url = urlsplit(base_url or BASE_URL)
    if url.scheme not in ("http", "https") or not url.hostname or url.username or url.query:
        text = "base_url of chat must be an address such as http://127.0.0.1:11434/v1, without a password or a query"
        raise VoiceError(text, code="setting")
    return Chat(ChatModel("chat", base_url=base_url or BASE_URL, model=model, api_key=api_key))
