"""Flows that change while calls live: which revision a call gets, what is refused, and how a change is noticed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from engine.beside import beside
from engine.health import Readiness
from engine.http import Http
from engine.loading import load_library
from engine.metrics import Metrics
from engine.reload import Reload
from engine.services import Clock, Services
from engine.speech import Speech
from engine.switchboard import Switchboard
from engine.virtual import KeptRecords, VirtualProvider, virtual_time
from engine.voices import Voices
from flows.library import Library
from providers.voice import VoiceError
from tests.engine.test_switchboard import open_house
from tests.engine.verbs.phone import flow
from tests.flows.test_speed import HEAD, SECTION

PATIENCE = 20.0  # seconds, for a busy machine


def says(words: str) -> str:
    return flow(f"- say: {words}")


def put(file: Path, text: str) -> None:
    file.write_text(text)


def remove(path: Path) -> None:
    (path.rmdir if path.is_dir() else path.unlink)()


class House:
    """A switchboard without calls, and what keeps its flows up to date."""

    def __init__(self, *paths: Path, load: Callable[[Sequence[Path]], Library] = load_library) -> None:
        voices = Voices()
        voices.add("virtual", VirtualProvider())
        self.services = Services(
            voices=voices, speech=Speech(voices, "virtual"), http=Http(), records=KeptRecords(),
            metrics=Metrics(CollectorRegistry()), clock=Clock(), default_voice="virtual",
        )  # fmt: skip
        self.board = Switchboard(load_library(paths), self.services, Readiness(capacity=1))
        self.reload = Reload(paths, self.board, self.services, load)

    @property
    def words(self) -> str:
        """What the flow in use says."""
        fields: Any = self.board.library.flows["test"].steps[0].fields
        return str(fields.text.source)

    def count(self, result: str) -> float:
        return self.services.metrics.registry.get_sample_value("hookflash_flow_reload_total", {"result": result}) or 0.0

    async def until(self, holds: Callable[[], Any]) -> None:
        """What a change of files leads to has no event of its own."""
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A flow that says one."""
    path = tmp_path / "flows" / "test.flow.yaml"
    path.parent.mkdir()
    path.write_text(says("one"))
    return path


# ── What is taken, and what is not ────────────────────────────────────────────────────────────────────────────────────


async def test_a_good_revision_is_taken(file: Path) -> None:
    house = House(file.parent)
    before = house.reload.state()
    assert (before["last_error"], [each["name"] for each in before["flows"]]) == (None, ["test"])
    put(file, says("two"))
    assert await house.reload.reload() == "taken"
    after = house.reload.state()
    assert house.words == "two"
    assert after["revision"] == house.board.library.revision != before["revision"]
    assert after["loaded_at"] > before["loaded_at"]
    assert house.count("taken") == 1


async def test_the_same_again_is_not_taken(file: Path) -> None:
    house = House(file.parent)
    library, state = house.board.library, house.reload.state()
    put(file, says("one"))
    assert await house.reload.reload() == "unchanged"
    assert house.board.library is library
    assert house.reload.state() == state


async def test_a_broken_revision_is_refused_with_every_problem_and_the_last_good_one_stays(file: Path) -> None:
    house = House(file.parent)
    library = house.board.library
    put(file, flow("- sya: two\n- goto: nowhere"))
    with capture_logs() as logs:
        assert await house.reload.reload() == "refused"
    assert house.board.library is library
    told = house.reload.state()
    assert told["revision"] == library.revision
    [unknown_verb, unknown_section] = told["last_error"]["problems"]
    assert "test.flow.yaml:3:5: error[E205]: unknown verb 'sya'" in unknown_verb
    assert "unknown section 'nowhere'" in unknown_section
    [entry] = [entry for entry in logs if entry["log_level"] == "error"]
    assert entry["problems"] == told["last_error"]["problems"]
    assert house.count("refused") == 1
    put(file, says("one"))
    assert await house.reload.reload() == "unchanged"
    assert house.reload.state()["last_error"] is None


async def test_flows_that_are_gone_are_refused(file: Path) -> None:
    house = House(file.parent)
    remove(file)
    assert await house.reload.reload() == "refused"
    remove(file.parent)
    assert await house.reload.reload() == "refused"
    assert house.words == "one"


async def test_a_plugin_that_fails_ends_no_engine(file: Path) -> None:
    def fails(paths: Sequence[Path]) -> Library:
        raise RuntimeError("a bug in a verb")

    house = House(file.parent, load=fails)
    assert await house.reload.reload() == "refused"
    assert house.reload.state()["last_error"]["problems"] == ["RuntimeError: a bug in a verb"]


async def test_voices_are_open_before_calls_need_them(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(file.parent)
    opened: list[tuple[str, str]] = []

    def load(name: str, settings: Any) -> VirtualProvider:
        opened.append((name, house.words))
        if name == "openai":
            raise VoiceError("the openai voice needs an API key: set OPENAI_API_KEY", code="setting")
        return VirtualProvider(name=name)

    monkeypatch.setattr("engine.voices.load", load)
    talks = "- say: two\n- converse: {provider: NAME, exits: {a: {}}}\n  catch: []"
    put(file, flow(talks.replace("NAME", "rehearsal")))
    assert await house.reload.reload() == "taken"
    assert opened == [("rehearsal", "one")]
    assert house.services.voices.get("rehearsal").name == "rehearsal"
    put(file, flow(talks.replace("NAME", "openai")))
    assert await house.reload.reload() == "refused"
    assert "set OPENAI_API_KEY" in house.reload.state()["last_error"]["problems"][0]


async def test_nothing_is_taken_that_changed_while_it_was_read(file: Path) -> None:
    def changes(paths: Sequence[Path]) -> Library:
        library = load_library(paths)
        if file.read_text() == says("two"):
            put(file, says("three"))
        return library

    house = House(file.parent, load=changes)
    put(file, says("two"))
    async with beside(house.reload.run()):
        await house.until(lambda: house.words == "three")
    assert house.count("taken") == 1, "two was never in use"


@virtual_time
async def test_a_live_call_stays_on_its_revision_and_the_next_takes_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "test.flow.yaml"
    text = "- say: {text: NAME begins., loop: 2}\n- call: {section: rest}\n"
    rest = "sections:\n  rest:\n    - say: NAME ends.\n"
    path.write_text(flow(text.replace("NAME", "One")) + rest.replace("NAME", "One"))
    async with open_house(load_library([tmp_path])) as made:
        reload = Reload([tmp_path], made.board, made.services)
        first = made.incoming.call()
        await first.caller.hears("One begins")
        path.write_text(flow(text.replace("NAME", "Two")) + rest.replace("NAME", "Two"))
        old = made.board.library.flows["test"].revision
        assert await reload.reload() == "taken"
        second = made.incoming.call()
        await second.caller.hears("Two begins")
        assert len(made.board.calls) == 2
    assert (made.record(first).revision, made.record(second).revision) == (
        old, made.board.library.flows["test"].revision
    )  # fmt: skip
    assert first.log.heard()[-1] == "One ends."
    assert second.log.heard()[-1] == "Two ends."


# ── How a change is noticed ───────────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def watched(*paths: Path) -> AsyncIterator[House]:
    """A house whose flows are watched."""
    house = House(*paths)
    async with beside(house.reload.run()):
        yield house


@pytest.fixture(params=["told by the kernel", "by looking"])
def _noticed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ways in which a change is noticed, each alone."""
    if request.param == "by looking":

        def full(*paths: Path, **options: Any) -> Any:
            raise OSError("OS file watch limit reached.")

        monkeypatch.setattr("engine.reload.awatch", full)
        monkeypatch.setattr("engine.reload.LOOK_EVERY", 0.05)
    else:
        monkeypatch.setattr("engine.reload.LOOK_EVERY", 3600.0)


def two(file: Path) -> None:
    put(file, says("two"))


def replace(file: Path) -> None:
    """As editors and `kubectl cp` do."""
    new = file.with_suffix(".new")
    new.write_text(says("two"))
    os.replace(new, file)


def remove_and_write(file: Path) -> None:
    file.unlink()
    put(file, says("two"))


@pytest.mark.usefixtures("_noticed", "no_tasks_left")
@pytest.mark.parametrize("single", [False, True], ids=["folder", "file"])
@pytest.mark.parametrize("change", [two, replace, remove_and_write])
async def test_a_changed_file(file: Path, change: Callable[[Path], None], single: bool) -> None:
    async with watched(file if single else file.parent) as house:
        change(file)
        await house.until(lambda: house.words == "two")
        put(file, says("three"))
        await house.until(lambda: house.words == "three")
    assert house.count("refused") == 0


@pytest.mark.usefixtures("_noticed")
async def test_a_file_that_a_flow_names(file: Path) -> None:
    house_of = flow("- say: one\n- converse: {prompt_file: prompts/a.md, exits: {a: {}}}\n  catch: []")
    async with watched(file.parent) as house:
        prompt = file.parent / "prompts/a.md"
        prompt.parent.mkdir()
        put(file, house_of)
        await house.until(lambda: house.reload.refusal)
        assert "file 'prompts/a.md': not found" in house.reload.state()["last_error"]["problems"][0]
        put(prompt, "Be brief.")
        await house.until(lambda: house.count("taken") == 1)
        assert house.reload.refusal is None
        put(prompt, "Be kind.")
        await house.until(lambda: house.count("taken") == 2)


@pytest.mark.usefixtures("_noticed")
async def test_a_config_map_that_is_swapped(tmp_path: Path) -> None:
    """As kubelet does it: files are links through ``..data``, a link to a dated folder, which is replaced at once."""
    mount = tmp_path / "flows"

    def publish(dated: str, words: str) -> None:
        (mount / dated).mkdir(parents=True)
        (mount / dated / "test.flow.yaml").write_text(says(words))
        (mount / "..data_tmp").symlink_to(dated)
        os.replace(mount / "..data_tmp", mount / "..data")

    publish("..2026_01_05_09_00", "one")
    (mount / "test.flow.yaml").symlink_to("..data/test.flow.yaml")
    async with watched(mount) as house:
        publish("..2026_01_05_10_00", "two")
        await house.until(lambda: house.words == "two")
        publish("..2026_01_05_11_00", "three")
        await house.until(lambda: house.words == "three")
    assert house.count("refused") == 0


async def test_a_linked_folder_that_is_swapped_is_seen_by_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As git-sync does it: the kernel goes on watching the folder that was."""
    monkeypatch.setattr("engine.reload.LOOK_EVERY", 0.05)
    for words in ("one", "two"):
        (tmp_path / words).mkdir()
        (tmp_path / words / "test.flow.yaml").write_text(says(words))
    (tmp_path / "flows").symlink_to("one")
    async with watched(tmp_path / "flows") as house:
        (tmp_path / "new").symlink_to("two")
        os.replace(tmp_path / "new", tmp_path / "flows")
        await house.until(lambda: house.words == "two")


async def test_what_is_written_bit_by_bit_is_read_once(file: Path) -> None:
    async with watched(file.parent) as house:
        for words in ("two", "three", "four"):
            put(file, says(words))
            await asyncio.sleep(0.05)
        await house.until(lambda: house.words == "four")
    assert house.count("taken") == 1


async def test_other_files_mean_nothing(file: Path) -> None:
    async with watched(file.parent) as house:
        (file.parent / "calls.db").write_text("a record")
        (file.parent / ".test.flow.yaml.swp").write_text("an editor's")
        put(file, says("two"))
        await house.until(lambda: house.words == "two")
    assert house.count("taken") == 1
    assert house.count("unchanged") == 0


async def test_on_demand_they_are_read_though_nothing_changed(file: Path) -> None:
    async with watched(file.parent) as house:
        house.reload.ask()
        await house.until(lambda: house.count("unchanged"))


async def test_an_engine_without_the_kernels_word_says_so_and_works(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*paths: Path, **options: Any) -> Any:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr("engine.reload.awatch", full)
    monkeypatch.setattr("engine.reload.LOOK_EVERY", 0.05)
    with capture_logs() as logs:
        async with watched(file.parent) as house:
            put(file, says("two"))
            await house.until(lambda: house.words == "two")
    warned = [entry for entry in logs if entry["log_level"] == "warning"]
    assert {(entry["look_every"], entry["error"]) for entry in warned} == {(0.05, "OS file watch limit reached.")}


async def test_the_event_loop_turns_while_a_large_library_is_read(file: Path) -> None:
    """2,000 lines take 0.15 s; the loop is held twice for 10 ms. Read on the loop itself it would not turn."""
    count = 112
    house = House(file.parent)
    (file.parent / "resources.yaml").write_text("endpoints: {pos: {base_url: 'https://pos.example/api'}}\n")
    (file.parent / "big.flow.yaml").write_text(
        HEAD + "".join(SECTION.format(n=n, next=(n + 1) % count) for n in range(count))
    )
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.002)
            turns += 1

    async with beside(turn()):
        assert await house.reload.reload() == "taken"
    assert turns >= 10
