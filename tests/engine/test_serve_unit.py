"""What an engine does before it takes its first call, and how it watches its Asterisk."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from asterisk.exchange import ExchangeError, ExchangeSettings
from asterisk.media.drivers import Drivers
from engine import serve
from engine.beside import beside, first_of
from engine.errors import UserError
from engine.health import Readiness
from engine.loading import FlowsError, load_library
from engine.metrics import metrics
from engine.serve import StartError, open_voices
from engine.settings import Settings
from engine.virtual import VirtualProvider, virtual_time
from engine.voices import known_voices
from engine.written import writer
from providers.voice import Capabilities, VoiceError
from tests.engine.verbs.phone import flow

HELLO = flow("- say: Hello.\n")


def settings(**given: Any) -> Settings:
    return Settings.model_validate(given)


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_flows_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.flow.yaml").write_text(HELLO)
    assert set(load_library((tmp_path,)).flows) == {"test"}


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.flow.yaml").write_text(flow("- sya: Hello.\n- goto: nowhere\n"))
    (tmp_path / "b.flow.yaml").write_text("flow: [")
    with pytest.raises(FlowsError) as caught:
        load_library((tmp_path,))
    said = str(caught.value)
    assert said.startswith("the flows cannot be used:\n  ")
    assert "a.flow.yaml:3:5: error[E205]: unknown verb 'sya' (did you mean 'say'?)" in said
    assert "unknown section 'nowhere'" in said
    assert "b.flow.yaml" in said
    assert isinstance(caught.value, UserError)


def test_warnings_are_logged_and_stop_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.flow.yaml").write_text(flow('- menu: {say: Hi}\n  outcomes: {"1": []}'))
    with capture_logs() as logs:
        load_library((tmp_path,))
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "W401" in logs[0]["event"]


@pytest.mark.parametrize("files", [{}, {"routes.yaml": "routes: []\n"}, {"resources.yaml": ""}])
def test_no_flow_at_all_says_where_they_were_looked_for(tmp_path: Path, files: Mapping[str, str]) -> None:
    folder = tmp_path / "flows"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(FlowsError, match=r"flows|holds no"):
        load_library((folder,))
    with pytest.raises(FlowsError, match="there is no such file or folder"):
        load_library((tmp_path / "gone",))


# ── Voices ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, str]]]:
    """Which voices were loaded, with which settings. The voice ``broken`` cannot be made."""
    asked: list[tuple[str, Mapping[str, str]]] = []

    def load(name: str, given: Mapping[str, str]) -> VirtualProvider:
        asked.append((name, given))
        if name == "broken":
            raise VoiceError("the voice broken needs api_key: set BROKEN_API_KEY", code="setting")
        return VirtualProvider(name=name, capabilities=known_voices()["chat" if name == "chat" else "openai"])

    monkeypatch.setattr("engine.voices.load", load)
    monkeypatch.setattr("engine.loading.known_voices", lambda: None)
    return asked


def house(tmp_path: Path, *providers: str) -> Any:
    steps = "\n".join(f"- converse: {{provider: {name}, exits: {{a: {{}}}}}}\n  catch: []" for name in providers)
    (tmp_path / "a.flow.yaml").write_text(flow(steps or "- say: Hello."))
    return load_library((tmp_path,))


def test_every_voice_that_a_flow_names_is_made_at_the_start(tmp_path: Path, loaded: list[Any]) -> None:
    voices = open_voices(
        settings(voice="one", speech="three", voices={"two": {"api_key": "k"}}), house(tmp_path, "two", "two")
    )
    assert sorted(name for name, _ in loaded) == ["one", "three", "two"]
    assert dict(loaded)["two"] == {"api_key": "k"}
    loaded.clear()
    assert voices.get("two").name == "two"
    assert loaded == []


def test_a_voice_that_cannot_be_made_stops_the_start(tmp_path: Path, loaded: list[Any]) -> None:
    library = house(tmp_path, "broken")
    with pytest.raises(StartError, match="the voice broken needs api_key: set BROKEN_API_KEY"):
        open_voices(settings(voice="one", speech="one"), library)
    with pytest.raises(StartError, match="needs api_key"):
        open_voices(settings(voice="broken", speech="one"), house(tmp_path))


def test_a_voice_that_only_listens_is_made_at_the_start_too(tmp_path: Path, loaded: list[Any]) -> None:
    (tmp_path / "b.flow.yaml").write_text(
        flow("- gather: {say: Who?, input: speech, listening: two}\n  catch: []", name="b")
    )
    open_voices(settings(voice="one", speech="one", listening="three"), house(tmp_path))
    assert sorted(name for name, _ in loaded) == ["one", "three", "two"]


@pytest.mark.parametrize(
    ("step", "warned"),
    [
        ("gather: {say: Who?, input: any}", True),
        ("voicemail: {box: a, transcribe: true}", True),
        ("gather: {say: Who?}", False),
        ("voicemail: {box: a}", False),
        ("gather: {say: Who?, input: any, listening: able}", False),
    ],
)
def test_flows_that_nobody_listens_to_are_told(
    tmp_path: Path, loaded: list[Any], monkeypatch: pytest.MonkeyPatch, step: str, warned: bool
) -> None:
    mute = VirtualProvider(name="mute", capabilities=Capabilities())
    monkeypatch.setattr("engine.voices.load", lambda name, given: mute)
    (tmp_path / "b.flow.yaml").write_text(flow(f"- {step}\n  catch: []", name="b"))
    with capture_logs() as logs:
        open_voices(settings(voice="mute", speech="mute"), house(tmp_path))
    told = [(entry["event"], entry["voice"]) for entry in logs]
    assert told == ([("speech is not recognised: set listening to a voice that does", "mute")] if warned else [])


def test_an_engine_without_prompts_starts_and_says_so(tmp_path: Path, loaded: list[Any]) -> None:
    with capture_logs() as logs:
        open_voices(settings(voice="one", speech="broken"), house(tmp_path))
    assert [(entry["event"], entry["voice"]) for entry in logs] == [("prompts cannot be spoken", "broken")]


@pytest.mark.parametrize(
    ("given", "who"),
    [
        ({}, None),  # the rehearsal voice writes nothing
        ({"voice": "openai"}, "openai"),
        ({"voice": "openai", "text": "chat"}, "chat"),
        ({"voice": "unknown"}, None),
    ],
)
def test_who_writes_for_flows_that_name_nobody(given: dict[str, str], who: str | None) -> None:
    assert writer(settings(**given)) == who


def test_who_writes_is_made_at_the_start_and_must_be_able_to(tmp_path: Path, loaded: list[Any]) -> None:
    with pytest.raises(StartError, match="the setting text names 'two', which has no text model"):
        open_voices(settings(voice="one", speech="one", text="two"), house(tmp_path))
    with pytest.raises(StartError, match="the setting voice names 'chat', which has no voice"):
        open_voices(settings(voice="chat", speech="one"), house(tmp_path))
    (tmp_path / "a.flow.yaml").write_text(flow("- say: Hello.", head="defaults: {text_model: three}"))
    open_voices(settings(voice="one", speech="one"), load_library((tmp_path,)))
    assert "three" in dict(loaded)


# ── The connection ────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_readiness_follows_the_connection_and_reconnections_are_counted() -> None:
    exchange: Any = SimpleNamespace(connected=asyncio.Event(), drivers=Drivers(["websocket"]))
    readiness = Readiness(capacity=1, flows_loaded=True)
    before = metrics.registry.get_sample_value("hookflash_ari_reconnects_total") or 0.0
    exchange.connected.set()
    async with beside(serve._watch(exchange, readiness)):
        await asyncio.sleep(1)
        assert readiness.reasons() == []
        exchange.connected.clear()
        await asyncio.sleep(1)
        assert readiness.reasons() == ["no connection to Asterisk"]
        exchange.connected.set()
        await asyncio.sleep(1)
        assert readiness.ari_connected
    assert metrics.registry.get_sample_value("hookflash_ari_reconnects_total") == before + 1


@virtual_time
async def test_draining_ends_with_the_last_call_or_when_told_twice() -> None:
    async def drains(timeout: float) -> int:
        await asyncio.sleep(timeout)
        return 0

    engine: Any = SimpleNamespace(switchboard=SimpleNamespace(drain=drains))
    now = asyncio.Event()
    assert await first_of(serve._drain(engine, 5), serve._told(now)) == 0
    asyncio.get_running_loop().call_later(1, now.set)
    assert await first_of(serve._drain(engine, 300), serve._told(now)) == 1
    assert asyncio.get_running_loop().time() == 6


# ── Waiting for Asterisk ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("minutes", [1, 10])
@virtual_time
async def test_a_start_waits_with_growing_pauses_and_reminds_every_half_minute(
    monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    clock = asyncio.get_running_loop().time
    began, tries = clock(), list[float]()

    @asynccontextmanager
    async def opening(wanted: ExchangeSettings) -> AsyncIterator[str]:
        tries.append(clock() - began)
        if tries[-1] < 60 * minutes:
            raise ExchangeError("it does not answer", may_pass=True)
        yield "the exchange"

    monkeypatch.setattr(serve.Exchange, "open", opening)
    readiness = Readiness(capacity=1)
    async with AsyncExitStack() as stack:
        with capture_logs() as logs:
            assert await serve._connected(stack, settings(), readiness, "http://x") == "the exchange"
    assert tries[:6] == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 12.5])
    assert len(logs) in (2 * minutes, 2 * minutes - 1)
    assert all(30 <= later["seconds"] - one["seconds"] <= 35 for one, later in itertools.pairwise(logs))
    assert (readiness.ari_problem, logs[0]["reason"]) == ("", "it does not answer")


@virtual_time
async def test_what_waiting_cannot_mend_ends_the_start_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def opening(wanted: ExchangeSettings) -> AsyncIterator[str]:
        raise ExchangeError("the password is wrong")
        yield ""

    monkeypatch.setattr(serve.Exchange, "open", opening)
    with pytest.raises(StartError, match="the password is wrong"):
        await serve._connected(AsyncExitStack(), settings(), Readiness(capacity=1), "http://x")
