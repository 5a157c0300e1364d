"""A company for a test: an engine on the pbx with the flow of the test, callers of the world, and the books.

When the block ends well the company counts: no channel, bridge, line, voice session or task may be left, and every
call that came must stand in the database as ended.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from asterisk.instance import Instance
from asterisk.recording import Track
from asterisk.world import Caller, World
from engine.call import Call
from engine.metrics import metrics
from engine.record import CallRecord
from engine.records.store import Records
from engine.serve import Engine, running
from engine.settings import AsteriskSettings, DatabaseSettings, HttpSettings, Settings

NUMBER = "+12125550100"  # the company's
BUSY, DECLINES, UNREACHABLE, UNKNOWN = "+12125550103", "+12125550105", "+12125550107", "+12125550108"
RINGS_FOR_EVER, HANGS_UP_FIRST = "+12125550104", "+12125550109"
TEAMS = "+12125561000"  # answers with 1 kHz
PATIENCE = 20.0  # seconds, for anything that must happen
SERVERS = ("aiohttp/web_protocol.py", "engine/reload.py", "_cygrpc/aio/server.pyx.pxi")  # whose tasks are no calls'


async def until(holds: Callable[[], Any], what: str, within: float = PATIENCE) -> Any:
    """For what another process or task does without an event to await."""
    try:
        async with asyncio.timeout(within):
            while not (found := holds()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {what}") from None
    return found


@dataclass
class Books:
    """Keeps records in the real database, and tells who waits when one was saved."""

    store: Records
    seen: dict[str, CallRecord] = field(default_factory=dict)  # by id; a test may forget them
    ids: set[str] = field(default_factory=set)  # of every call that came

    async def save(self, record: CallRecord) -> None:
        self.ids.add(record.id)
        self.seen[record.id] = record
        await self.store.save(record)

    async def get(self, call_id: str) -> CallRecord:
        return await self.store.get(call_id)

    async def page(self, limit: int, **filters: Any) -> list[CallRecord]:
        return await self.store.page(limit, **filters)

    def of(self, number: str) -> CallRecord | None:
        """The record of the call from this number."""
        return next((record for record in self.seen.values() if record.caller == number), None)


class Company:
    """See `company`."""

    def __init__(self, engine: Engine, outside: World, pbx: Instance, world: Instance, books: Books) -> None:
        self.engine = engine
        self.outside = outside
        self.pbx = pbx
        self.world = world
        self.books = books
        self.numbers: dict[str, str] = {}  # caller's name -> its number
        self._extensions = itertools.count(1)

    async def call(self, number: str = NUMBER, *, answered: bool = True, **options: Any) -> Caller:
        """Somebody calls, with a number of his own; returns when the company has answered."""
        own = options.pop("caller", f"+1212555{next(self._extensions):04d}")
        caller = await self.outside.call(number, caller=own, **options)
        self.numbers[caller.name] = own
        if answered:
            await caller.answered()
        return caller

    def record(self, caller: Caller) -> CallRecord:
        """The record of a live call, as it is now."""
        found = self.books.of(self.numbers[caller.name])
        assert found is not None, "the engine knows nothing of this call"
        return found

    async def live(self, caller: Caller) -> Call:
        """The engine's side of a call, as soon as there is one."""
        number = self.numbers[caller.name]

        def found() -> Call | None:
            return next((call for call in self.engine.switchboard.calls.values() if call.record.caller == number), None)

        call: Call = await until(found, f"the call of {number} at the engine")
        return call

    async def ended(self, caller: Caller) -> CallRecord:
        """The call's record as the database has it, once the call is over on both sides."""
        await caller.is_over()
        number = self.numbers[caller.name]

        def over() -> bool:
            record = self.books.of(number)
            return record is not None and record.ended is not None and record.id not in self.engine.switchboard.calls

        await until(over, f"the end of the call of {number} at the engine")
        await self.books.store.flush()
        return await self.books.store.get(self.record(caller).id)

    async def attempt(self, caller: Caller, number: int = 0) -> None:
        """Until so many attempts to reach a person were begun (0: the first)."""
        await until(lambda: len(self.record(caller).attempts) > number, f"attempt {number} to reach a person")

    async def connected(self, caller: Caller) -> None:
        """Until the caller talks to a person."""
        call = await self.live(caller)
        await until(lambda: call.with_person, "the caller to be connected to a person")

    async def heard_by(self, number: str) -> Track:
        """What a number of the world heard, the last time that it answered."""
        plain = number.removeprefix("+")
        found = await until(
            lambda: sorted(self.world.monitor.glob(f"{plain}-*-heard.wav"), key=lambda file: file.stat().st_mtime),
            f"a recording of {number}",
        )
        await self.world.idle()
        return await asyncio.to_thread(_whole, found[-1])

    async def nothing_is_left(self) -> None:
        """Raise AssertionError that says what the calls left behind."""
        await until(lambda: not self.engine.switchboard.calls, "no call at the engine")
        await asyncio.gather(self.pbx.idle(), self.world.idle())
        await until(lambda: not self.engine.exchange.live, "no line at the exchange")
        for _ in range(50):  # what got no clear answer is swept up soon after
            bridges = [line for line in (await self.pbx.cli("bridge show all")).splitlines()[1:] if line.strip()]
            if not bridges:
                break
            await asyncio.sleep(0.2)
        else:
            raise AssertionError(f"bridges left on the pbx: {bridges}")
        assert not open_sessions(), "voice sessions are open"
        await self.books.store.flush()
        stored = {record.id: record for record in await self.books.store.list(limit=1000)}
        assert stored.keys() == self.books.ids, "records were lost"
        for record in stored.values():
            assert record.outcome != "live", f"a record says that its call lives: {record.id}"
            assert record.ended is not None


def open_sessions() -> float:
    """Voice sessions of this process, as its metrics count them."""
    return sum(
        sample.value
        for family in metrics.provider_sessions.collect()
        for sample in family.samples
        if sample.name.endswith("sessions_active")
    )


def _whole(file: Path) -> Track:
    """A recording whose writer has finished: its channel is gone, its file closed a moment later."""
    return Track.read(file)


def tasks() -> set[asyncio.Task[Any]]:
    """What runs of the engine for calls: neither the test itself, nor its web servers, nor the watch on the flows,
    which begins when its folders are known, nor the world's callers, who live as long as the world.
    """
    return {
        task
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task() and not task.get_name().startswith("caller-") and not _is_tests(task)
    }


def _is_tests(task: asyncio.Task[Any]) -> bool:
    file = getattr(getattr(task.get_coro(), "cr_code", None), "co_filename", "")
    return "/tests/" in file or file.endswith(SERVERS)


def settings_for(pbx: Instance, folder: Path, **options: Any) -> Settings:
    """Settings of an engine beside this pbx, with the flows of ``folder`` and the offline voice."""
    voices: dict[str, dict[str, SecretStr]] = {
        "rehearsal": {
            "flite": SecretStr(json.dumps(pbx.installation.flite())),
            "cache": SecretStr(str(pbx.folder.parent / "prompts")),
        }
    }
    for name, given in options.pop("voices", {}).items():
        voices[name] = {key: SecretStr(value) for key, value in given.items()}
    return Settings(
        name="test",
        asterisk=AsteriskSettings.model_validate(
            {
                "url": pbx.ari_url, "user": pbx.ari_user, "password": SecretStr(pbx.ari_password),
                "app": pbx.application, "trunk": "carrier", **options.pop("asterisk", {}),
            }
        ),
        flows=(options.pop("flows", folder),),
        database=DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{folder}/calls.db")),
        http=options.pop("http", HttpSettings(port=0)),
        voices=voices,
        **options,
    )  # fmt: skip


def write_flows(folder: Path, flow: str, routes: str | None = None, files: Mapping[str, str | bytes] = {}) -> None:
    """The flow of a test, a route to it for every number, and further files."""
    every: dict[str, str | bytes] = {
        "test.flow.yaml": "flow: test\n" + textwrap.dedent(flow),
        "routes.yaml": textwrap.dedent(routes or "routes: [{flow: test}]"),
        **files,
    }
    for name, content in every.items():
        content = content if isinstance(content, bytes) else textwrap.dedent(content).encode()
        (folder / name).write_bytes(content)


Open = Callable[..., AbstractAsyncContextManager[Company]]
"""The fixture `open_company`: `company` with the pbx, the world and a folder filled in."""


@asynccontextmanager
async def company(
    pbx: Instance,
    world: Instance,
    folder: Path,
    flow: str = "",
    *,
    routes: str | None = None,
    files: Mapping[str, str | bytes] = {},
    **options: Any,
) -> AsyncIterator[Company]:
    """An engine with this flow, as `hookflash serve` runs it, and the world. ``options`` are settings."""
    if "flows" not in options:
        write_flows(folder, flow, routes, files)
    settings = settings_for(pbx, folder, **options)
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(PATIENCE):  # it would wait for an Asterisk that is gone
            store = await stack.enter_async_context(
                Records.open(settings.database.url.get_secret_value(), engine=settings.name)
            )
            engine = await stack.enter_async_context(running(settings, Books(store)))
            outside = await stack.enter_async_context(World.open(world))
        here = Company(engine, outside, pbx, world, engine.services.records)  # type: ignore[arg-type]
        await asyncio.sleep(0)  # the tasks of the start have begun
        before = {task.get_name() for task in tasks()}
        yield here
        await here.nothing_is_left()
        left = {task for task in tasks() if task.get_name() not in before and not task.done()}
        if left:  # the database closes a connection behind the answer
            _, left = await asyncio.wait(left, timeout=1.0)
        assert not left, f"tasks left behind: {left}"
