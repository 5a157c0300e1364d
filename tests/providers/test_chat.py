"""The text model against an emulated server: every request and every chunk is judged by the vendor's types."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from openai import AsyncOpenAI

from providers import chat, openai
from providers.chat import ChatModel
from providers.parts import Message, TextDone, TextPart
from providers.registry import capabilities, load
from providers.voice import Session, Tool, ToolCall, Usage, VoiceError
from tests.emulators.chat_completions import Answer, Emulator, Faults

KEY = "sk-test-1234567890"
ASKED = [Message("system", "Be brief."), Message("user", "A secret of the caller.")]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
WEATHER = Tool("weather", "How it is outside.", {"type": "object", "properties": {"city": {"type": "string"}}})

Emulate = Callable[..., Any]


@pytest.fixture
async def emulate() -> AsyncIterator[Emulate]:
    """Start emulators; in the end all that went both ways must have satisfied the vendor's types, and nothing waits."""
    async with AsyncExitStack() as stack:
        started: list[Emulator] = []

        async def start(*answers: Answer, faults: Faults | None = None, api_key: str = "") -> Emulator:
            started.append(await stack.enter_async_context(Emulator(answers, faults=faults, api_key=api_key)))
            return started[-1]

        yield start
        for emulator in started:
            assert emulator.oracle.problems == []
            async with asyncio.timeout(5):
                await emulator.idle.wait()


@pytest.fixture
async def model() -> AsyncIterator[Callable[..., ChatModel]]:
    made: list[ChatModel] = []

    def make(emulator: Emulator, **options: Any) -> ChatModel:
        made.append(ChatModel("chat", **{"base_url": emulator.url, "model": "m", "api_key": KEY, **options}))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def answered(asked: ChatModel, **options: Any) -> list[Any]:
    return [event async for event in asked.answer(ASKED, **options)]


def text(events: list[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextPart))


@pytest.mark.parametrize("faults", [Faults(), Faults(bytewise=True), Faults(crlf=True), Faults(no_done=True)])
async def test_an_answer_in_parts_with_what_it_cost(emulate: Emulate, model: Any, faults: Faults) -> None:
    emulator = await emulate(Answer("Grüß Gott, wie geht es?"), faults=faults)
    events = await answered(model(emulator))
    assert text(events) == "Grüß Gott, wie geht es?"
    assert len(events) == 6
    assert events[-1] == TextDone("stop", Usage(input_text=20, cached=5, output_text=7, model="m"))
    [request] = emulator.requests
    assert request["model"] == "m"
    assert request["stream"] is True
    assert emulator.headers[0]["Authorization"] == f"Bearer {KEY}"


async def test_answers_share_a_connection(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(faults=Faults(late_end=0.02))
    asked = model(emulator)
    for _ in range(3):
        assert text(await answered(asked)) == "Hello."
    assert len(set(emulator.peers)) == 1


async def test_a_server_that_needs_no_key_and_counts_nothing(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(faults=Faults(no_usage=True))
    events = await answered(model(emulator, api_key=""), model="another", most=9)
    assert events[-1] == TextDone("stop", Usage(model="another"))
    assert "Authorization" not in emulator.headers[0]
    assert emulator.requests[0]["model"] == "another"
    assert emulator.requests[0]["max_tokens"] == 9


@pytest.mark.parametrize(
    ("base_url", "key"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://house.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
    ],
)
def test_how_servers_call_their_bound(base_url: str, key: str) -> None:
    assert ChatModel("chat", base_url=base_url, model="m")._most_key == key


async def test_an_answer_that_fits_a_schema(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(Answer('{"a": 1}'))
    assert text(await answered(model(emulator), schema=SCHEMA)) == '{"a": 1}'
    assert emulator.requests[0]["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
    }  # fmt: skip


async def test_tools_that_are_called_side_by_side(emulate: Emulate, model: Any) -> None:
    calls = (("c1", "weather", '{"city": "Köln"}'), ("c2", "weather", '{"city": "Bonn"}'))
    emulator = await emulate(Answer("One moment.", calls), Answer("Sunny."))
    asked = model(emulator)
    events = await answered(asked, tools=[WEATHER])
    made = tuple(event for event in events if isinstance(event, ToolCall))
    assert made == (ToolCall("c1", "weather", {"city": "Köln"}), ToolCall("c2", "weather", {"city": "Bonn"}))
    assert events[-1].reason == "tools"
    told = [*ASKED, Message("assistant", text(events), calls=made), Message("tool", '"sun"', call="c1"),
            Message("tool", '"rain"', call="c2")]  # fmt: skip
    assert text([event async for event in asked.answer(told, tools=[WEATHER])]) == "Sunny."


async def test_an_answer_that_was_cut_off(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(Answer("Half an ans", reason="length"))
    assert (await answered(model(emulator)))[-1].reason == "length"


async def test_the_vendors_own_client_understands_the_emulator(emulate: Emulate) -> None:
    calls = (("c1", "weather", '{"city": "Köln"}'), ("c2", "weather", '{"city": "Bonn"}'))
    emulator = await emulate(Answer("Hello there.", calls))
    async with AsyncOpenAI(api_key=KEY, base_url=emulator.url) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "Hi."}], stream=True,
            stream_options={"include_usage": True},
        )  # fmt: skip
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there."
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7
    assert chunks[-2].choices[0].finish_reason == "tool_calls"


# ── What goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "advice", "recoverable", "asked"),
    [
        (400, "check the model", False, 1),
        (401, "API key is wrong", False, 1),
        (403, "may not use this model", False, 1),
        (404, "no such model", False, 1),
        (302, "check base_url", False, 1),
        (413, "too long", False, 1),
        (429, "too many requests", True, 3),
        (500, "try again later", True, 3),
        (503, "try again later", True, 3),
    ],
)
async def test_a_status_instead_of_an_answer(
    emulate: Emulate, model: Any, monkeypatch: pytest.MonkeyPatch, status: int, advice: str, recoverable: bool,
    asked: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(chat, "_BACKOFF", lambda state: 0.0)
    faults = Faults(statuses=(status,) * 3, error={"code": "a_code", "param": "a param of the caller"})
    emulator = await emulate(faults=faults)
    with pytest.raises(
        VoiceError, match=rf"chat answered HTTP {status} \(a_code, server_error\): .*{advice}"
    ) as raised:
        await answered(model(emulator))
    assert (raised.value.code, raised.value.recoverable) == (f"http_{status}", recoverable)
    assert len(emulator.requests) == asked
    for told in (str(raised.value), repr(raised.value)):
        assert KEY not in told
        assert "caller" not in told  # servers repeat what was asked in their errors


async def test_a_wrong_key(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(api_key="another")
    with pytest.raises(VoiceError, match=r"HTTP 401 \(invalid_api_key\)") as raised:
        await answered(model(emulator))
    assert KEY not in str(raised.value) + repr(raised.value) + repr(model(emulator))


async def test_it_is_asked_again_and_then_answers(
    emulate: Emulate, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "_BACKOFF", lambda state: 0.0)
    emulator = await emulate(Answer("At last."), faults=Faults(statuses=(503, 429)))
    assert text(await answered(model(emulator))) == "At last."
    assert len(emulator.requests) == 3


async def test_a_used_up_quota_is_not_asked_again(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(faults=Faults(statuses=(429,), error={"code": "insufficient_quota"}))
    with pytest.raises(VoiceError, match="insufficient_quota"):
        await answered(model(emulator))
    assert len(emulator.requests) == 1


@pytest.mark.parametrize("after", ["0", "0.01"])
async def test_the_server_says_when_to_ask_again(
    emulate: Emulate, model: Any, monkeypatch: pytest.MonkeyPatch, after: str
) -> None:
    monkeypatch.setattr(chat, "_BACKOFF", lambda state: pytest.fail("the server said how long to wait"))
    emulator = await emulate(faults=Faults(statuses=(429,), headers={"Retry-After": after}))
    assert text(await answered(model(emulator))) == "Hello."
    assert len(emulator.requests) == 2


async def test_nobody_waits_a_minute_on_the_telephone(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(faults=Faults(statuses=(429,), headers={"Retry-After": "60"}))
    with pytest.raises(VoiceError, match="HTTP 429"):
        await answered(model(emulator))
    assert len(emulator.requests) == 1


async def test_a_connection_that_is_lost_before_the_first_word(
    emulate: Emulate, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "_BACKOFF", lambda state: 0.0)
    emulator = await emulate(Answer("Once more."), faults=Faults(drop=(0, 1)))
    assert text(await answered(model(emulator))) == "Once more."
    assert len(emulator.requests) == 3


async def test_a_connection_that_is_lost_in_the_middle(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(Answer("A long answer it was."), faults=Faults(drop=(3, 3, 3)))
    heard = []

    async def listen() -> None:
        async for event in model(emulator).answer(ASKED):
            heard.append(event)

    with pytest.raises(VoiceError, match="chat: the answer broke off") as raised:
        await listen()
    assert heard == [TextPart("A lon"), TextPart("g ans")]
    assert raised.value.recoverable
    assert len(emulator.requests) == 1  # words that were read cannot be taken back


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_BACKOFF", lambda state: 0.0)
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        unreachable = ChatModel("chat", base_url=f"http://127.0.0.1:{reserved.getsockname()[1]}/v1", model="m")
        with pytest.raises(VoiceError, match=r"cannot be reached: .*; check the network and base_url") as raised:
            await answered(unreachable)
        await unreachable.close()
    assert raised.value.code == "unreachable"
    assert raised.value.__suppress_context__


async def test_a_server_that_never_answers(emulate: Emulate, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "FIRST_WITHIN", 0.05)
    emulator = await emulate(faults=Faults(hang=True))
    with pytest.raises(VoiceError, match=r"did not begin to answer within 0.05 s"):
        await answered(model(emulator))
    assert len(emulator.requests) == 1


async def test_a_server_that_falls_silent(emulate: Emulate, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "NEXT_WITHIN", 0.05)
    emulator = await emulate(Answer("A long answer it was."), faults=Faults(stall_after=3))
    with pytest.raises(VoiceError, match=r"sent nothing for 0.05 s in the middle"):
        await answered(model(emulator))


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        (Faults(broken_json=True), "format"),
        (Faults(raw=b"<html>Welcome</html>"), "broken_off"),
        (Faults(raw=b"data: <html>\n\n"), "format"),
        (Faults(raw=b"data: \xff\n\n"), "format"),
        (Faults(raw=b"x" * 2_000_000), "format"),
        (Faults(fails_after=3), "engine_dead"),
    ],
)
async def test_a_stream_that_makes_no_sense(
    emulate: Emulate, model: Any, monkeypatch: pytest.MonkeyPatch, faults: Faults, code: str
) -> None:
    monkeypatch.setattr(chat, "_BACKOFF", lambda state: 0.0)
    emulator = await emulate(Answer("A long answer it was."), faults=faults)
    with pytest.raises(VoiceError) as raised:
        await answered(model(emulator))
    assert raised.value.code == code
    assert "caller" not in str(raised.value)


async def test_closing_the_answer_stops_the_model(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(Answer("word " * 200), faults=Faults(stall_after=50))
    async with aclosing(model(emulator).answer(ASKED)) as events:
        async for _ in events:
            break
    async with asyncio.timeout(5):
        await emulator.idle.wait()


async def test_being_cancelled_stops_the_model(emulate: Emulate, model: Any) -> None:
    emulator = await emulate(faults=Faults(hang=True))
    asking = asyncio.create_task(answered(model(emulator)))
    await emulator.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with asyncio.timeout(5):
        await emulator.idle.wait()


# ── The providers ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_provider_reads_and_writes_and_does_not_speak(emulate: Emulate) -> None:
    emulator = await emulate(Answer("Hello."))
    provider = load("chat", {"base_url": emulator.url, "model": "llama"})
    written = provider.text_model()
    assert isinstance(written, ChatModel)
    assert text(await answered(written)) == "Hello."
    assert emulator.requests[0]["model"] == "llama"
    assert provider.speaker() is None
    with pytest.raises(VoiceError, match="has no voice"):
        provider.voice(Session())
    await provider.close()


async def test_openai_writes_under_the_address_and_key_of_its_voice(emulate: Emulate) -> None:
    emulator = await emulate(Answer("Hello."), api_key=KEY)
    provider = openai.provider({"api_key": KEY, "base_url": emulator.url.replace("http", "ws")})
    assert text(await answered(provider.text_model())) == "Hello."
    assert emulator.requests[0]["model"] == chat.MODEL
    await provider.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "HOOKFLASH_VOICES_CHAT_API_KEY or HOOKFLASH_VOICES_CHAT_BASE_URL"),
        ({"base_url": "http://127.0.0.1:1/v1"}, "HOOKFLASH_VOICES_CHAT_MODEL"),
        ({"base_url": "127.0.0.1:1/v1", "model": "m"}, "must be an address"),
        ({"base_url": f"http://me:{KEY}@h/v1", "model": "m"}, "without a password"),
        ({"base_url": "http://h/v1?x=1", "model": "m"}, "or a query"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, str], message: str) -> None:
    with pytest.raises(VoiceError, match=message) as raised:
        chat.provider(settings)
    assert KEY not in str(raised.value)


def test_openai_is_the_default() -> None:
    assert repr(chat.provider({"api_key": KEY}).text_model()) == (
        f"ChatModel('chat', 'https://api.openai.com/v1/chat/completions', model='{chat.MODEL}')"
    )


def test_what_the_check_is_told() -> None:
    assert capabilities("chat").writes
    assert capabilities("chat").formats == ()
    assert capabilities("openai").writes
    assert not capabilities("rehearsal").writes
