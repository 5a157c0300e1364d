"""One private Asterisk process: its folder, its ports, its life."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import os
import shutil
import signal
import struct
import tempfile
import time
import wave
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

import aiohttp

from asterisk.config import AsteriskConfig, Folders, render
from asterisk.config.render import UNUSED
from asterisk.installation import Installation
from asterisk.ports import Ports

READY_S = 15.0
"""How long a start may take. It takes well under a second on an idle machine; the rest is for a busy one."""
STOP_S = 5.0
_LOOK_AGAIN_S = 0.02
_LONGEST_SOCKET_PATH = 100  # AF_UNIX allows 107 bytes


class SandboxError(RuntimeError):
    """Asterisk did not start, or ended by itself; the message ends with its last log lines and where the rest is."""


class PortTakenError(SandboxError):
    """Another program took one of the ports between our look and Asterisk's start."""


class DiedError(SandboxError):
    """Asterisk ended by itself while it started."""


class Instance:
    """A private Asterisk, as an async context manager: ready inside, gone after, its folder kept on failure."""

    def __init__(
        self,
        installation: Installation,
        name: str,
        folder: Path | None,
        ports: Ports,
        configure: Callable[[Ports, Folders], AsteriskConfig],
        extra: Mapping[str, str],
    ) -> None:
        self.installation = installation
        self.name = name
        self.ports = ports
        self.keep = folder is not None
        """Whether the folder outlives the instance: yes where it was given, and always after an exception."""
        self.folder = folder or Path(tempfile.mkdtemp(prefix=f"hookflash-{name}-"))
        self._folders = _make_folders(self.folder.resolve(), installation)
        self._configure = configure
        self._extra = dict(extra)
        self._process: asyncio.subprocess.Process | None = None
        self.config = configure(ports, self._folders)
        self.started_in_s = 0.0
        """How long the last start took, until calls could come in."""

    @property
    def ari_url(self) -> str:
        """`http://127.0.0.1:<port>/ari`."""
        return f"http://127.0.0.1:{self.http_port}/ari"

    @property
    def ari_user(self) -> str:
        """The user that may write."""
        return self.config.users[0].name

    @property
    def ari_password(self) -> str:
        """Its password, made for this instance alone."""
        return self.config.users[0].password.get_secret_value()

    @property
    def authorization(self) -> dict[str, str]:
        """The HTTP header that logs in to ARI."""
        token = base64.b64encode(f"{self.ari_user}:{self.ari_password}".encode()).decode()
        return {"Authorization": f"Basic {token}"}

    @property
    def application(self) -> str:
        """The Stasis application to which the dialplan hands calls."""
        return self.config.application

    @property
    def http_port(self) -> int:
        """ARI and media WebSockets."""
        return self.config.http.port

    @property
    def sip_port(self) -> int:
        """UDP and TCP, on 127.0.0.1."""
        return self.config.sip.port

    @property
    def tls_port(self) -> int:
        """SIP over TLS, on `tls_address`."""
        return self.config.sip.tls_port

    @property
    def tls_address(self) -> str:
        """The loopback address of the TLS listener; calls over TLS also come from it."""
        return self.config.sip.tls_bind

    @property
    def pid(self) -> int:
        """The process id of the running Asterisk."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.returncode is None

    @property
    def sounds(self) -> Path:
        """Put prompts here: `NAME.wav` (8 kHz, 16 bits, mono) or `NAME.ulaw` is played as `sound:NAME`."""
        return self._folders.data / "sounds/en"

    @property
    def monitor(self) -> Path:
        """Where MixMonitor and Record put files that have no folder of their own."""
        return self._folders.spool / "monitor"

    @property
    def recordings(self) -> Path:
        """Where ARI's recordings go."""
        return self._folders.spool / "recording"

    @property
    def log(self) -> Path:
        """messages.log, full.log, security.log, and console.log with what the process itself printed."""
        return self._folders.log

    async def start(self) -> None:
        """Start the process and wait until it takes calls. Raises SandboxError, with nothing left over."""
        began = time.monotonic()
        self._write_configuration()
        with (self.log / "console.log").open("ab") as console:
            self._process = await asyncio.create_subprocess_exec(
                *_dying_with_us(),
                *self.installation.asterisk("-f", "-C", str(self._folders.etc / "asterisk.conf")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=dict(self.installation.env),
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(READY_S):
                await self._ready()
        except TimeoutError as slow:
            await self.kill()
            raise SandboxError(self._told(f"was not ready after {READY_S:.0f} s")) from slow
        except PortTakenError:
            await self.kill()
            raise
        except SandboxError as error:
            died = await self._has_died()
            await self.kill()
            if died:
                raise DiedError(self._told("ended by itself while it started")) from error
            raise
        except BaseException:
            await self.kill()
            raise
        self.started_in_s = time.monotonic() - began

    async def stop(self) -> None:
        """Hang up all calls and end the process; by force after 5 s. Does nothing when it is not running."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """End the process at once, as a crash would: SIGKILL, no BYE, no close."""
        await self._end(signal.SIGKILL)

    async def restart(self) -> None:
        """Stop (unless it is gone already) and start again on the same ports, with the same folder."""
        await self.stop()
        await self.start()

    async def cli(self, command: str) -> str:
        """What Asterisk's command line answers to `command`, over its control socket. Raises SandboxError."""
        try:
            async with asyncio.timeout(READY_S):
                reader, writer = await asyncio.open_unix_connection(self._control)
                try:
                    await reader.readline()  # a greeting: host, process id and version
                    # As `asterisk -rx` does it: the server answers and closes.
                    writer.write(b"cli quit after %s\0" % command.encode())
                    answer = await reader.read(-1)
                finally:
                    writer.close()
        except (OSError, TimeoutError) as error:
            raise SandboxError(self._told(f"does not answer on its control socket ({error!r})")) from error
        return answer.replace(b"\0", b"").decode(errors="replace").strip("\n")

    async def channels(self) -> list[str]:
        """The names of all channels, such as `PJSIP/carrier-00000003`."""
        lines = (await self.cli("core show channels concise")).splitlines()
        return [line.split("!", 1)[0] for line in lines if "!" in line]

    async def idle(self, within_s: float = 10.0) -> None:
        """Wait until there is no channel any more. Raises TimeoutError that names those that are left."""
        left: list[str] = []
        try:
            async with asyncio.timeout(within_s):
                while left := await self.channels():  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError as late:
            raise TimeoutError(f"Asterisk {self.name} still has {', '.join(left)} after {within_s:.0f} s") from late

    async def __aenter__(self) -> Instance:
        try:
            await self.start()
        except BaseException:
            self._release()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            await self.stop()
        finally:
            self._release()
        if error is not None:
            error.add_note(f"Asterisk {self.name}: its logs are in {self.log}")
        else:
            self.discard()

    def discard(self) -> None:
        """Remove the folder, unless it is to be kept. For an instance that has ended or never started."""
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _release(self) -> None:
        self.ports.release()
        if self._folders.run.parent != self.folder.resolve():
            shutil.rmtree(self._folders.run, ignore_errors=True)

    @property
    def _control(self) -> str:
        return str(self._folders.run / "asterisk.ctl")

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            raise SandboxError(self._told("is not running"))
        return self._process

    def _write_configuration(self) -> None:
        files = {**UNUSED, **render(self.config)}
        for name in files.keys() | self._extra.keys():
            (self._folders.etc / name).write_text(files.get(name, "") + self._extra.get(name, ""))

    async def _ready(self) -> None:
        while not await self._answers():
            if not self.running:
                raise SandboxError(
                    self._told(f"ended by itself (exit status {self._process and self._process.returncode})")
                )
            await asyncio.sleep(_LOOK_AGAIN_S)
        await self.cli("core waitfullybooted")
        listening = await self.cli("pjsip show transports")
        wanted = ["transport-udp", "transport-tcp"] + (["transport-tls"] if self.config.sip.certificate else [])
        missing = [transport for transport in wanted if transport not in listening]
        if missing or not await self._is_our_http():
            raise PortTakenError(
                self._told(f"could not listen ({', '.join(missing) or f'http port {self.http_port}'})")
            )

    async def _has_died(self) -> bool:
        """Whether the process ended by itself; its end is told a moment after its sockets are gone."""
        try:
            await asyncio.wait_for(self._process.wait() if self._process is not None else asyncio.sleep(0), 0.5)
        except TimeoutError:
            return False
        return True

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self._control)
        except OSError:
            return False
        writer.close()
        return True

    async def _is_our_http(self) -> bool:
        """Whether it is our Asterisk that answers on our port: no other knows this password."""
        try:
            async with (
                aiohttp.ClientSession(headers=self.authorization) as http,
                http.get(f"{self.ari_url}/asterisk/ping") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _end(self, how: signal.Signals) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(how)
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    def _told(self, what: str) -> str:
        lines: list[str] = []
        for name in ("console.log", "messages.log"):
            path = self.log / name
            lines += path.read_text(errors="replace").splitlines()[-12:] if path.exists() else []
        tail = "".join(f"\n  {line}" for line in lines)
        return f"Asterisk {self.name} {what}; its logs are in {self.log}{tail}"


def _dying_with_us() -> list[str]:
    """A prefix that ends Asterisk when this process ends, even by SIGKILL (util-linux has it everywhere)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []


def _make_folders(folder: Path, installation: Installation) -> Folders:
    run = folder / "run"
    if len(os.fsencode(run / "asterisk.ctl")) > _LONGEST_SOCKET_PATH:
        run = Path(tempfile.mkdtemp(prefix="hookflash-run-", dir="/tmp"))
    data = folder / "data"
    for path in ("etc", "lib/keys", "log", "run", "data/agi-bin", "data/moh", "data/sounds/en"):
        (folder / path).mkdir(parents=True, exist_ok=True)
    for path in ("monitor", "recording", "tmp", "outgoing"):
        (folder / "spool" / path).mkdir(parents=True, exist_ok=True)
    for shared in ("rest-api", "documentation"):
        if not (data / shared).exists():
            (data / shared).symlink_to(installation.data / shared)
    _write_notes(data / "moh/music.wav", ((392, 400), (494, 400), (587, 400), (494, 400)), times=4)
    _write_notes(data / "sounds/en/beep.wav", ((1400, 200),))
    return Folders(
        etc=folder / "etc",
        modules=installation.modules,
        data=data,
        lib=folder / "lib",
        spool=folder / "spool",
        run=run,
        log=folder / "log",
    )


def _write_notes(path: Path, notes: tuple[tuple[int, int], ...], times: int = 1) -> None:
    """Write (Hz, ms) notes as a wav of 8 kHz, 16 bits, mono: Debian's closure holds no recorded sounds."""
    samples: list[int] = []
    for hz, duration_ms in notes:
        count = duration_ms * 8
        # Faded in and out, so that it does not click.
        samples += [
            int(6000 * math.sin(2 * math.pi * hz * n / 8000) * min(1.0, n / 80, (count - n) / 80)) for n in range(count)
        ]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples) * times)
