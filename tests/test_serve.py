"""`hookflash serve` as a process: how it starts, why it does not, how it stops, and what it survives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from asterisk.instance import Instance
from asterisk.world import Caller, World
from engine.record import CallRecord
from engine.records.store import Records

pytestmark = pytest.mark.asterisk

HOOKFLASH = Path(sys.executable).with_name("hookflash")
READY_WITHIN = 20.0  # seconds; a start takes one, the rest is for a busy machine
LONG = "Please listen to this announcement, which is long enough for an engine to be stopped while somebody hears it."
ANNOUNCEMENT = f"flow: test\nsteps:\n  - say: {LONG}\n  - hangup: {{result: heard}}\n"
TRANSFER = """
flow: test
steps:
  - transfer: {attempts: [{targets: ["tel:+12125560900"]}]}
    outcomes: {failed: []}
"""


class Served:
    """A running `hookflash serve`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # its own URL
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode().rstrip())
            told = json.loads(line) if line.startswith(b"{") else {}
            if told.get("event") == "ready" and not self.ready.done():
                self.ready.set_result(told["http"])

    async def url(self) -> str:
        """Where its health is told; waits until it is ready."""
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait([ended, self.ready], timeout=READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        assert self.ready.done(), "it did not start: " + "\n".join(self.lines)
        return self.ready.result()

    async def health(self, path: str = "readyz") -> tuple[int, dict[str, Any]]:
        """What it says of itself."""
        async with aiohttp.ClientSession() as http, http.get(f"{await self.url()}/{path}") as answer:
            return answer.status, await answer.json()

    async def until_ready(self, wanted: bool) -> None:
        """Until it takes calls, or does not any more."""
        async with asyncio.timeout(READY_WITHIN):
            while ((await self.health())[0] == 200) is not wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def says(self, event: str) -> None:
        """Until it has logged this."""
        async with asyncio.timeout(READY_WITHIN):
            while not any(event in line for line in self.lines):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def stops(self, within: float) -> int:
        """Its exit status."""
        async with asyncio.timeout(within):
            status = await self.process.wait()
            await self._reading
        return status

    def tell(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        await self._reading


def environment(pbx: Instance, folder: Path, **settings: str) -> dict[str, str]:
    """The settings of an engine beside this pbx."""
    inherited = {
        name: value for name, value in os.environ.items()
        if not name.startswith("HOOKFLASH_") and name != "OPENAI_API_KEY"
    }  # fmt: skip
    return inherited | {
        "HOOKFLASH_ASTERISK_URL": pbx.ari_url,
        "HOOKFLASH_ASTERISK_USER": pbx.ari_user,
        "HOOKFLASH_ASTERISK_PASSWORD": pbx.ari_password,
        "HOOKFLASH_ASTERISK_APP": pbx.application,
        "HOOKFLASH_ASTERISK_TRUNK": "carrier",
        "HOOKFLASH_VOICES_REHEARSAL_FLITE": json.dumps(pbx.installation.flite()),
        "HOOKFLASH_VOICES_REHEARSAL_CACHE": str(pbx.folder.parent / "prompts"),
        "HOOKFLASH_DATABASE_URL": database(folder),
        "HOOKFLASH_FLOWS": str(folder / "flows"),
        "HOOKFLASH_HTTP_PORT": "0",
        "HOOKFLASH_LOG_FORMAT": "json",
        "HOOKFLASH_NAME": "test",
        **settings,
    }


def database(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/calls.db"


async def records(folder: Path) -> list[CallRecord]:
    """What is in the database, oldest first."""
    async with Records.open(database(folder)) as store:
        return (await store.list())[::-1]


@asynccontextmanager
async def served(pbx: Instance, folder: Path, flow: str = ANNOUNCEMENT, **settings: str) -> AsyncIterator[Served]:
    """`hookflash serve` with this flow for every number."""
    (folder / "flows").mkdir(exist_ok=True)
    (folder / "flows/test.flow.yaml").write_text(flow)
    (folder / "flows/routes.yaml").write_text("routes: [{flow: test}]\n")
    process = await asyncio.create_subprocess_exec(
        HOOKFLASH, "serve", cwd=folder, env=environment(pbx, folder, **settings), stderr=asyncio.subprocess.PIPE
    )
    running = Served(process)
    try:
        yield running
    finally:
        await running.end()


@asynccontextmanager
async def forwarded(port: int, url: str) -> AsyncIterator[None]:
    """A port that opens now and leads to another server."""
    other = urlsplit(url)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, out = await asyncio.open_connection(other.hostname, other.port)
        await asyncio.gather(copy(reader, out), copy(inner, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


class TestStopping:
    async def test_it_lets_the_live_call_end_and_takes_no_other(
        self, pbx: Instance, world: Instance, tmp_path: Path
    ) -> None:
        async with served(pbx, tmp_path) as engine, World.open(world) as outside:
            assert (await engine.health())[0] == 200
            assert (await engine.health("livez"))[0] == 200
            caller = await outside.call("+12125550100")
            await caller.answered()
            await caller.hears_something()
            engine.tell(signal.SIGTERM)
            await engine.until_ready(False)
            status, told = await engine.health()
            assert (status, told["calls"]) == (503, 1)
            assert "draining" in told["reasons"][0]
            late = await outside.call("+12125550100")
            await late.is_over()
            assert late.sip_code == 503, "the dialplan answers for it"
            await caller.is_over()
            assert await engine.stops(within=5) == 0
            _, heard = await caller.recording()
        assert heard.bursts(1.0)[0][1] > 5, "the announcement was heard to its end"
        taken, refused = await records(tmp_path)
        assert (taken.outcome, taken.result) == ("completed", "heard")
        assert (refused.outcome, refused.error) == ("refused", "draining")

    async def test_a_second_signal_leaves_the_live_calls_to_the_dialplan(
        self, pbx: Instance, world: Instance, tmp_path: Path
    ) -> None:
        async with served(pbx, tmp_path) as engine, World.open(world) as outside:
            await engine.url()
            caller = await outside.call("+12125550100")
            await caller.answered()
            await caller.hears_something()
            engine.tell(signal.SIGTERM)
            await engine.says("draining")
            engine.tell(signal.SIGTERM)
            assert await engine.stops(within=8) == 0
            assert "Congestion" in await pbx.cli("core show channels concise"), "what stands behind the engine"
            await caller.hangs_up()
        [record] = await records(tmp_path)
        assert (record.outcome, record.hangup_by) == ("lost", "engine")
        await pbx.idle()

    async def test_a_drain_is_bounded(self, pbx: Instance, world: Instance, tmp_path: Path) -> None:
        async with (
            served(pbx, tmp_path, HOOKFLASH_DRAIN_TIMEOUT="1s") as engine,
            World.open(world) as outside,
        ):
            await engine.url()
            caller = await outside.call("+12125550100")
            await caller.answered()
            engine.tell(signal.SIGINT)
            assert await engine.stops(within=8) == 0
            assert "Congestion" in await pbx.cli("core show channels concise"), "what stands behind the engine"
            await caller.hangs_up()
        [record] = await records(tmp_path)
        assert record.outcome == "lost"
        await pbx.idle()

    async def test_it_stops_at_once_when_nobody_calls(self, pbx: Instance, tmp_path: Path) -> None:
        async with served(pbx, tmp_path) as engine:
            await engine.url()
            engine.tell(signal.SIGTERM)
            assert await engine.stops(within=3) == 0

    async def test_it_can_be_stopped_while_it_waits_for_asterisk(self, pbx: Instance, tmp_path: Path) -> None:
        asked, silent = asyncio.Event(), asyncio.Event()

        async def never_answers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await silent.wait()
            writer.close()

        server = await asyncio.start_server(never_answers, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with served(pbx, tmp_path, HOOKFLASH_ASTERISK_URL=url) as engine, asyncio.timeout(READY_WITHIN):
            await asked.wait()
            engine.tell(signal.SIGTERM)
            assert await engine.stops(within=3) == 0
            assert not any("Traceback" in line for line in engine.lines)
        silent.set()
        server.close()


class TestStarting:
    @pytest.mark.parametrize(
        ("flow", "settings", "told"),
        [
            (
                ANNOUNCEMENT,
                {"HOOKFLASH_ASTERISK_PASSWORD": "wrong"},
                "refuses the ARI user 'hookflash' or its password",
            ),
            ("flow: test\nsteps:\n  - sya: Hello.\n", {}, "test.flow.yaml:3:5: error[E"),
            (
                "flow: test\nsteps:\n  - converse: {provider: openai, exits: {bye: {}}}\n",
                {},
                "the openai voice needs an API key: set OPENAI_API_KEY",
            ),
            (ANNOUNCEMENT, {"HOOKFLASH_ASTERISK_URL": "127.0.0.1:8088"}, "HOOKFLASH_ASTERISK_URL"),
            (ANNOUNCEMENT, {"HOOKFLASH_VOICE": "nobody"}, "unknown voice 'nobody'"),
            (ANNOUNCEMENT, {"HOOKFLASH_FLOWS": "nowhere"}, "nowhere"),
            (ANNOUNCEMENT, {"HOOKFLASH_MAX_CALLS": "many"}, "HOOKFLASH_MAX_CALLS"),
            (ANNOUNCEMENT, {"HOOKFLASH_DATABASE_URL": "sqlite+aiosqlite:////proc/no/calls.db"}, "/proc/no"),
        ],
        ids=[
            "wrong password",
            "broken flow",
            "no key",
            "no address",
            "unknown voice",
            "no flows",
            "bad setting",
            "no database",
        ],
    )
    async def test_it_says_why_it_does_not(
        self, pbx: Instance, tmp_path: Path, flow: str, settings: dict[str, str], told: str
    ) -> None:
        async with served(pbx, tmp_path, flow, **settings) as engine:
            assert await engine.stops(within=READY_WITHIN) == 2
        said = [line for line in engine.lines if line.startswith("hookflash:")]
        assert told in "\n".join(said), engine.lines
        assert not any("Traceback" in line for line in engine.lines)
        assert len(said) <= 3, "short"

    async def test_it_waits_for_an_asterisk_that_starts_later(
        self, pbx: Instance, world: Instance, tmp_path: Path, unused_tcp_port: int
    ) -> None:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        async with served(pbx, tmp_path, HOOKFLASH_ASTERISK_URL=url) as engine, World.open(world) as outside:
            await engine.says("waiting for Asterisk")
            [told] = [json.loads(line) for line in engine.lines if "waiting for Asterisk" in line]
            assert told["level"] == "warning"
            assert f"Asterisk at {url} does not answer" in told["reason"]
            assert "does it run, and is its HTTP server enabled (http.conf)" in told["reason"]
            async with aiohttp.ClientSession(told["http"]) as http:
                async with http.get("/livez") as answer:
                    assert answer.status == 200
                for path in ("/readyz", "/startupz"):
                    async with http.get(path) as answer:
                        assert answer.status == 503
                        [reason] = (await answer.json())["reasons"]
                        assert reason.startswith(f"no connection to Asterisk: Asterisk at {url} does not answer")
            async with forwarded(unused_tcp_port, pbx.ari_url):
                await engine.until_ready(True)
                caller = await outside.call("+12125550100")
                await caller.answered()
                await caller.hears_something()
                await caller.hangs_up()
                await caller.is_over()
                engine.tell(signal.SIGTERM)
                assert await engine.stops(within=8) == 0
        assert sum("waiting for Asterisk" in line for line in engine.lines) == 1, "once in 30 s"
        await pbx.idle()

    async def test_a_wrong_password_is_said_when_asterisk_has_come(
        self, pbx: Instance, tmp_path: Path, unused_tcp_port: int
    ) -> None:
        wrong = {
            "HOOKFLASH_ASTERISK_URL": f"http://127.0.0.1:{unused_tcp_port}",
            "HOOKFLASH_ASTERISK_PASSWORD": "wrong",
        }
        async with served(pbx, tmp_path, **wrong) as engine:
            await engine.says("waiting for Asterisk")
            async with forwarded(unused_tcp_port, pbx.ari_url):
                assert await engine.stops(within=READY_WITHIN) == 2
        assert any("refuses the ARI user 'hookflash' or its password" in line for line in engine.lines)

    async def test_it_can_be_stopped_between_two_attempts(
        self, pbx: Instance, tmp_path: Path, unused_tcp_port: int
    ) -> None:
        url = f"http://127.0.0.1:{unused_tcp_port}"
        async with served(pbx, tmp_path, HOOKFLASH_ASTERISK_URL=url) as engine:
            await engine.says("waiting for Asterisk")
            engine.tell(signal.SIGTERM)
            assert await engine.stops(within=3) == 0
        assert not any("Traceback" in line for line in engine.lines)

    async def test_a_port_in_use_is_named(self, pbx: Instance, tmp_path: Path) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            port = str(other.getsockname()[1])
            async with served(pbx, tmp_path, HOOKFLASH_HTTP_PORT=port) as engine:
                assert await engine.stops(within=READY_WITHIN) == 2
        said = [line for line in engine.lines if line.startswith("hookflash:")]
        assert said == [
            f"hookflash: 127.0.0.1 port {port} is in use by another program: set http.port (HOOKFLASH_HTTP_PORT) to a "
            "free one, or 0 for any"
        ]


async def talk(caller: Caller, pbx: Instance) -> None:
    """The caller talks to a person: the engine's audio has left, and a tone goes through."""
    async with asyncio.timeout(10):
        while any(name.startswith("WebSocket/") for name in await pbx.channels()):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await caller.sounds(600, 0.5)


class TestNames:
    async def test_it_gives_way_to_another_engine_of_its_name(self, pbx: Instance, tmp_path: Path) -> None:
        other = tmp_path / "other"
        other.mkdir()
        async with served(pbx, tmp_path) as first:
            await first.url()
            async with served(pbx, other) as second:
                await second.url()
                assert await first.stops(within=10) == 2
                assert "give every engine a Stasis application of its own" in "\n".join(first.lines)
                assert (await second.health())[0] == 200


class TestAsteriskRestarts:
    @pytest.mark.parametrize("connected", [False, True], ids=["in the flow", "with a person"])
    async def test_in_mid_call(self, own_pair: tuple[Instance, Instance], tmp_path: Path, connected: bool) -> None:
        """No hang, the record is kept, and the next call works."""
        pbx, world = own_pair
        async with served(pbx, tmp_path, TRANSFER if connected else ANNOUNCEMENT) as engine:
            await engine.url()
            async with World.open(world) as outside:
                caller = await outside.call("+12125550100")
                await caller.answered()
                await caller.hears_something()
                if connected:
                    await talk(caller, pbx)
                await pbx.kill()
                await engine.until_ready(False)
                await pbx.restart()
                await engine.until_ready(True)
                async with asyncio.timeout(10):
                    while (await engine.health())[1]["calls"]:  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                await caller.hangs_up()
                again = await outside.call("+12125550100")
                await again.answered()
                await again.hears_something()
                if connected:
                    await talk(again, pbx)
                await again.hangs_up()
                await again.is_over()
            engine.tell(signal.SIGTERM)
            assert await engine.stops(within=10) == 0
        lost, good = await records(tmp_path)
        assert lost.ended is not None
        if connected:
            assert (lost.outcome, lost.cause) == ("handed_off", 38)
        else:
            # Noticed first: that there is no audio any more, or that the new Asterisk knows nothing of the call.
            known = (lost.outcome, lost.cause) == ("caller_hung_up", 38)
            assert known or "the audio of the call was lost" in lost.error
            assert lost.result == "", "it was not heard"
        assert good.cause == 16
        assert (good.outcome, good.hangup_by) == ("handed_off" if connected else "caller_hung_up", "caller")


class TestEvents:
    """What others may tell live calls: POST /calls/{id}/events/{name}."""

    WAITS = """
flow: test
steps:
  - wait_for: {event: webhook, name: paid, timeout: 20s}
    catch: []
  - hangup: {result: paid}
"""

    async def test_who_has_the_token_of_a_file_tells_the_call(
        self, pbx: Instance, world: Instance, tmp_path: Path
    ) -> None:
        (tmp_path / "token").write_text("0123456789abcdef\n")
        async with (
            served(pbx, tmp_path, self.WAITS, HOOKFLASH_EVENTS_TOKEN_FILE=str(tmp_path / "token")) as engine,
            World.open(world) as outside,
            aiohttp.ClientSession() as http,
        ):
            url = await engine.url()
            caller = await outside.call("+12125550100")
            await caller.answered()
            await caller.hears_something()
            [live] = await records(tmp_path)
            posted = f"{url}/calls/{live.id}/events/paid"
            async with http.post(posted, headers={"Authorization": "Bearer 0123456789abcdeg"}) as answer:
                assert answer.status == 401
            async with http.post(posted, headers={"Authorization": "Bearer 0123456789abcdef"}) as answer:
                assert (answer.status, await answer.json()) == (200, {"status": "taken"})
            await caller.is_over()
            engine.tell(signal.SIGTERM)
            assert await engine.stops(within=8) == 0
            assert "0123456789abcdef" not in "\n".join(engine.lines)
        [over] = await records(tmp_path)
        assert over.result == "paid"

    async def test_without_a_token_it_says_so_and_takes_none(self, pbx: Instance, tmp_path: Path) -> None:
        async with served(pbx, tmp_path, self.WAITS) as engine, aiohttp.ClientSession() as http:
            async with http.post(f"{await engine.url()}/calls/0/events/paid") as answer:
                assert answer.status == 403
            assert "test: waits for webhooks, which are all refused until events.token is set" in "\n".join(
                engine.lines
            )


class TestConsole:
    async def test_it_is_served_closed_by_the_first_token_and_ends_with_the_engine(
        self, pbx: Instance, world: Instance, tmp_path: Path
    ) -> None:
        async with served(pbx, tmp_path) as engine, World.open(world) as outside, aiohttp.ClientSession() as http:
            api = f"{await engine.url()}/api/v1"
            async with http.get(f"{api}/session") as answer:
                assert (await answer.json())["open"] is True
            making = await asyncio.create_subprocess_exec(
                HOOKFLASH, "token", "create", "ada", "--role", "viewer", cwd=tmp_path,
                env=environment(pbx, tmp_path), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            token = (await making.communicate())[0].decode().strip()
            async with http.get(f"{api}/session") as answer:
                assert answer.status == 401
            async with http.get(f"{api}/events", headers={"Authorization": f"Bearer {token}"}) as stream:
                assert stream.status == 200
                caller = await outside.call("+12125550100")
                await caller.answered()
                await told(stream, "call", '"state":"in_flow"')
                engine.tell(signal.SIGTERM)
                await told(stream, "engine", '"draining":true')
                await told(stream, "call", '"state":"ended"')
                assert (await stream.content.read()) is not None, "the stream ends"
            assert await engine.stops(within=5) == 0
            assert token not in "".join(engine.lines)


async def told(stream: aiohttp.ClientResponse, kind: str, part: str) -> None:
    """Until an event of this kind holds this."""
    async with asyncio.timeout(READY_WITHIN):
        while True:
            line = (await stream.content.readline()).decode()
            assert line, "the stream ended"
            if line == f"event: {kind}\n" and part in (await stream.content.readline()).decode():
                return
