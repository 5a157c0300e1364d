"""The sandbox, on the real thing: unpacking, starting, stopping, and calls between two Asterisks."""

import asyncio
import base64
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from asterisk import debian, sandbox
from asterisk.config import AsteriskConfig
from asterisk.ports import BLOCK, NoPortsLeftError, Ports
from asterisk.sandbox import Installation, Instance, SandboxError
from asterisk.version import BASELINE

TONE, BUSY, RINGS, DECLINES = "+12125550101", "+12125550103", "+12125550104", "+12125550105"


def listening(port: int) -> bool:
    """Whether somebody holds the port, for TCP or UDP."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return True
    return False


async def until(condition: Callable[[], object], within_s: float = 10.0) -> None:
    """Another process acts, so there is no event to await."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def no_channels(*instances: Instance) -> None:
    for instance in instances:
        await instance.idle()


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.asterisk
class TestInstallation:
    def test_is_new_enough_and_whole(self, installation: Installation) -> None:
        assert installation.version in BASELINE
        assert (installation.modules / "chan_websocket.so").exists()
        assert {"channels.json", "events.json", "resources.json"} <= {
            file.name for file in installation.swagger.iterdir()
        }

    def test_is_found_again_at_once(self, installation: Installation) -> None:
        began = time.monotonic()
        assert sandbox.locate() == installation
        assert time.monotonic() - began < 1

    def test_flite_speaks(self, installation: Installation, tmp_path: Path) -> None:
        said = tmp_path / "said.wav"
        subprocess.run(
            installation.flite("-voice", "slt", "-t", "Good morning.", "-o", str(said)),
            check=True,
            env=installation.env,
        )
        assert said.stat().st_size > 16000

    def test_sipp_runs(self, installation: Installation) -> None:
        told = subprocess.run(
            installation.sipp("-v"), capture_output=True, text=True, check=False, env=installation.env
        )
        assert "SIPp v3" in told.stdout

    def test_the_command_says_which_and_where(self) -> None:
        told = subprocess.run(
            [sys.executable, "-m", "asterisk.sandbox"], capture_output=True, text=True, check=True, timeout=60
        )
        assert told.stdout.startswith("Asterisk ")


@pytest.mark.asterisk
class TestHostAsterisk:
    """A host that has an Asterisk: played by a program on the PATH that runs the unpacked one."""

    @pytest.fixture
    def host(self, installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        program = tmp_path / "bin/asterisk"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.join(installation.asterisk())} "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        monkeypatch.setattr("asterisk.installation._HOST_MODULES", (str(installation.modules),))
        monkeypatch.setattr("asterisk.installation._HOST_DATA", (str(installation.data),))
        return program

    async def test_it_is_used_where_it_will_do(self, host: Path) -> None:
        found = sandbox.locate()
        assert found.asterisk("-V") == [str(host), "-V"]
        async with sandbox.start(installation=found) as alone:
            assert "Asterisk 2" in await alone.cli("core show version")

    @pytest.mark.parametrize("banner", ["Asterisk 18.10.0~dfsg+~cs6.10.40431411-2", "Asterisk GIT-22-abcdef0", ""])
    def test_it_is_passed_over_where_it_is_too_old_or_unknown(self, host: Path, banner: str) -> None:
        host.write_text(f"#!/bin/sh\necho '{banner}'\n")
        assert str(host) not in sandbox.locate().asterisk()

    def test_it_is_passed_over_without_chan_websocket(self, host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("asterisk.installation._HOST_MODULES", (str(host.parent),))
        assert str(host) not in sandbox.locate().asterisk()


class TestUnpacking:
    @pytest.mark.asterisk
    def test_two_at_once_unpack_once(self, tmp_path: Path) -> None:
        """The second waits for the first and finds its tree: no package of the second's own is fetched."""
        command = "import sys, asterisk.debian as d; print(d.unpack(['ncurses-base'], d.Path(sys.argv[1])))"
        runs = [
            subprocess.Popen(
                [sys.executable, "-c", command, str(tmp_path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        told = [run.communicate(timeout=100) for run in runs]
        assert [run.returncode for run in runs] == [0, 0], told
        assert told[0][0] == told[1][0]
        assert sum("unpacking" in errors for _, errors in told) == 1
        root = Path(told[0][0].strip())
        assert (root / "usr/share/terminfo").exists() or (root / "usr/lib/terminfo").exists()
        assert {path.name for path in tmp_path.iterdir()} == {root.name, f"{root.name}.lock"}

    @pytest.mark.asterisk
    def test_an_unknown_package_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(debian.UnpackError, match="no-such-package-anywhere"):
            debian.unpack(["no-such-package-anywhere"], tmp_path)

    @pytest.mark.parametrize(
        ("targets", "found"),
        [
            ("http://one/debian-security main\nhttp://two/debian contrib\nhttp://two/debian main", "http://two/debian"),
            ("https://other/apt main\nhttp://mirror/pub/debian/ main", "http://mirror/pub/debian/"),
            ("http://one/debian-security main\nhttp://two/ubuntu main", None),
            ("", None),
        ],
    )
    def test_the_mirror_is_the_one_of_the_machines_own_apt(
        self, targets: str, found: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apt = tmp_path / "apt-get"
        apt.write_text(f"#!/bin/sh\ncat <<'END'\n{targets}\nEND\n")
        apt.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        if found is not None:
            assert debian.mirror() == found
        else:
            with pytest.raises(debian.UnpackError, match="names no Debian mirror"):
                debian.mirror()

    def test_an_unreachable_mirror_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(debian, "mirror", lambda: "http://127.0.0.1:9/debian")
        monkeypatch.setattr(debian, "_RETRIES", 0)
        with pytest.raises(debian.UnpackError, match=r"http://127\.0\.0\.1:9/debian"):
            debian.unpack(["ncurses-base"], tmp_path)

    def test_without_apt_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda _: None)
        with pytest.raises(debian.UnpackError, match=r"install Asterisk 22\.10\.1"):
            debian.unpack(["asterisk"], tmp_path)

    def test_the_cache_is_the_users(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/else")
        assert debian.cache_folder() == Path("/somewhere/else/hookflash")
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", "/home/operator")
        assert debian.cache_folder() == Path("/home/operator/.cache/hookflash")


class TestPorts:
    def test_blocks_do_not_overlap(self) -> None:
        with Ports.claim() as one, Ports.claim() as other:
            assert abs(one.http - other.http) >= BLOCK
            assert one.http < one.sip < one.sips < one.rtp_start < one.rtp_end < one.http + BLOCK

    def test_a_taken_port_is_passed_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with Ports.claim() as ports:
            base = ports.http - 1
        monkeypatch.setattr("asterisk.ports._FIRST_PORTS", (base,))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.1", ports.sip))
            with pytest.raises(NoPortsLeftError, match="in use"):
                Ports.claim()


@pytest.mark.asterisk
class TestInstance:
    async def test_both_are_ready_within_five_seconds(self, pbx: Instance, world: Instance) -> None:
        assert 0 < pbx.started_in_s < 5
        assert 0 < world.started_in_s < 5
        assert "fully booted" in await pbx.cli("core waitfullybooted")

    async def test_ari_answers_to_its_own_user_only(self, pbx: Instance) -> None:
        guess = {"Authorization": "Basic " + base64.b64encode(b"hookflash:guess").decode()}
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{pbx.ari_url}/asterisk/info", headers=pbx.authorization) as answer:
                assert answer.status == 200
                assert (await answer.json())["system"]["version"] in pbx.installation.banner
            async with http.get(f"{pbx.ari_url}/asterisk/info", headers=guess) as answer:
                assert answer.status == 401

    async def test_the_log_holds_no_complaint(self, pbx: Instance, world: Instance) -> None:
        for instance in (pbx, world):
            start = (instance.log / "full.log").read_text().split("Asterisk Ready")[0]
            assert [line for line in start.splitlines() if "ERROR[" in line or "WARNING[" in line] == []

    async def test_nothing_is_left_after_the_end(self, installation: Installation) -> None:
        async with sandbox.start(installation=installation) as alone:
            pid, folder = alone.pid, alone.folder
            ports = (alone.http_port, alone.sip_port, alone.tls_port)
            assert all(listening(port) for port in ports[:2])
        assert not alive(pid)
        assert not any(listening(port) for port in ports)
        assert not folder.exists()

    async def test_logs_are_kept_on_failure_and_named(self, installation: Installation) -> None:
        with pytest.raises(LookupError) as failure:
            async with sandbox.start(installation=installation) as alone:
                raise LookupError("something else went wrong")
        assert str(alone.log) in failure.value.__notes__[0]
        assert (alone.log / "full.log").stat().st_size > 0
        shutil.rmtree(alone.folder)

    async def test_killed_and_restarted_on_the_same_ports(self, installation: Installation, tmp_path: Path) -> None:
        async with sandbox.start(folder=tmp_path, installation=installation) as alone:
            first, ports = alone.pid, (alone.http_port, alone.sip_port, alone.tls_port)
            await alone.kill()
            assert not alone.running
            with pytest.raises(SandboxError, match="control socket"):
                await alone.cli("core show version")
            await alone.restart()
            assert alone.pid != first
            await alone.restart()
            assert (alone.http_port, alone.sip_port, alone.tls_port) == ports
            assert "Asterisk" in await alone.cli("core show version")

    async def test_a_long_folder_is_no_obstacle(self, installation: Installation, tmp_path: Path) -> None:
        deep = tmp_path / ("deep" * 20) / ("deeper" * 10)
        async with sandbox.start(folder=deep, installation=installation) as alone:
            assert "Asterisk" in await alone.cli("core show version")

    async def test_dies_with_the_program_that_started_it(self, installation: Installation, tmp_path: Path) -> None:
        program = (
            "import asyncio, sys, pathlib\n"
            "from asterisk import sandbox\n"
            "async def main():\n"
            "    async with sandbox.start(folder=pathlib.Path(sys.argv[1])) as alone:\n"
            "        print(alone.pid, flush=True)\n"
            "        await asyncio.Event().wait()\n"
            "asyncio.run(main())\n"
        )
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout
        child = int(await asyncio.wait_for(parent.stdout.readline(), 30))
        os.kill(parent.pid, signal.SIGKILL)
        await parent.wait()
        await until(lambda: not alive(child))

    async def test_a_taken_port_leads_to_other_ports(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another program binds the SIP port between our look and Asterisk's start."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            stolen: list[int] = []
            claim = Ports.claim

            def claim_and_lose() -> Ports:
                ports = claim()
                if not stolen:
                    thief.bind(("127.0.0.1", ports.sip))
                    stolen.append(ports.sip)
                return ports

            monkeypatch.setattr(Ports, "claim", claim_and_lose)
            async with sandbox.start(installation=installation) as alone:
                assert alone.sip_port != stolen[0]

    async def test_a_broken_configuration_is_told_with_the_log(
        self, installation: Installation, tmp_path: Path
    ) -> None:
        extra = {"modules.conf": "require=no_such_module.so\n"}
        with pytest.raises(SandboxError, match="no_such_module") as failure:
            async with sandbox.start(folder=tmp_path, extra=extra, installation=installation):
                pass
        assert str(tmp_path) in str(failure.value)


@pytest.mark.asterisk
class TestCalls:
    async def test_a_tone_arrives_over_tls_and_srtp(
        self, pbx: Instance, world: Instance, tmp_path: Path, tone_share: Callable[[Path, float], float]
    ) -> None:
        heard = tmp_path / "heard.wav"
        before = set(world.monitor.iterdir())
        await pbx.cli(f"channel originate PJSIP/{TONE}@teams application Record {heard},0,2,x")
        await until(lambda: heard.exists() and heard.stat().st_size > 20000)
        await no_channels(pbx, world)
        assert tone_share(heard, 1000) > 0.9
        assert tone_share(heard, 700) < 0.01
        said = [file for file in set(world.monitor.iterdir()) - before if file.stem.endswith("-said")]
        assert tone_share(said[0], 1000) > 0.9
        log = (world.log / "full.log").read_text()
        assert "PJSIP/pbx-tls-" in log

    @pytest.mark.parametrize(("number", "hz"), [("+12125560440", 440), ("+12125570107", 700)])
    async def test_the_world_answers_with_the_tone_that_is_asked_for(
        self,
        pbx: Instance,
        world: Instance,
        tmp_path: Path,
        tone_share: Callable[[Path, float], float],
        number: str,
        hz: int,
    ) -> None:
        heard = tmp_path / "heard.wav"
        await pbx.cli(f"channel originate PJSIP/{number}@carrier application Record {heard},0,1,x")
        await until(heard.exists)
        await no_channels(pbx, world)
        assert tone_share(heard, hz) > 0.9

    async def test_media_to_teams_is_encrypted(self, pbx: Instance, world: Instance) -> None:
        await pbx.cli("pjsip set logger on")
        try:
            await pbx.cli(f"channel originate PJSIP/{TONE}@teams application Wait 1")
            await no_channels(pbx, world)
        finally:
            await pbx.cli("pjsip set logger off")
        log = (pbx.log / "full.log").read_text()
        offers = [
            part
            for part in log.split("<--- Transmitting SIP request")
            if part.lstrip().startswith("(") and "INVITE sip:" + TONE in part
        ]
        assert offers
        assert all("RTP/SAVP" in offer and "a=crypto:" in offer and "SIP/2.0/TLS" in offer for offer in offers)

    async def test_a_call_from_the_world_falls_back_when_no_engine_is_there(
        self, pbx: Instance, world: Instance
    ) -> None:
        told = pbx.log / "full.log"
        already = told.stat().st_size
        await world.cli("channel originate PJSIP/+18005550199@pbx application Wait 5")
        await no_channels(pbx, world)
        log = told.read_text()[already:]
        assert "+18005550199 goes to the fallback: STASISSTATUS is FAILED" in log
        assert "PJSIP/carrier-" in log

    @pytest.mark.parametrize(
        ("number", "status"),
        [
            (BUSY, 486),
            (DECLINES, 603),
            ("+12125550106", 480),
            ("+12125550107", 503),
            ("+12125550108", 404),
            ("+12125550111", 403),
        ],
    )
    @pytest.mark.parametrize("trunk", ["carrier", "teams"])
    async def test_the_world_refuses_as_told(self, pbx: Instance, number: str, status: int, trunk: str) -> None:
        app = f"refused-{trunk}-{status}"
        async with (
            aiohttp.ClientSession(pbx.ari_url + "/", headers=pbx.authorization) as http,
            asyncio.timeout(10),
            http.ws_connect("events", params={"app": app}) as events,
        ):
            asked = {"endpoint": f"PJSIP/{number}@{trunk}", "app": app, "channelId": app}
            async with http.post("channels", params=asked) as answer:
                assert answer.status == 200, await answer.text()
            while (event := await events.receive_json())["type"] != "ChannelDestroyed":
                pass
        assert event["tech_cause"] == status

    async def test_ringing_forever_can_be_given_up(self, pbx: Instance, world: Instance) -> None:
        await pbx.cli(f"channel originate PJSIP/{RINGS}@carrier application Wait 1")
        async with asyncio.timeout(5):
            while "Ringing" not in (shown := await pbx.cli("core show channels")):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        channel = next(line.split()[0] for line in shown.splitlines() if line.startswith("PJSIP/carrier"))
        await pbx.cli(f"channel request hangup {channel}")
        await no_channels(pbx, world)

    @pytest.mark.parametrize(("way", "context"), [("pbx", "from-carrier"), ("pbx-tls", "from-teams")])
    async def test_a_call_reaches_the_engine_with_number_and_trunk(
        self, pbx: Instance, world: Instance, way: str, context: str
    ) -> None:
        """And when the engine gives it back, the fallback takes it."""
        async with (
            aiohttp.ClientSession(pbx.ari_url + "/", headers=pbx.authorization) as http,
            asyncio.timeout(10),
            http.ws_connect("events", params={"app": pbx.application}) as events,
        ):
            await world.cli(f"channel originate PJSIP/+18005550199@{way} application Wait 5")
            while (event := await events.receive_json())["type"] != "StasisStart":
                pass
            assert event["args"] == ["+18005550199", context]
            assert event["channel"]["dialplan"]["exten"] == "+18005550199"
            async with http.post(f"channels/{event['channel']['id']}/continue") as answer:
                assert answer.status == 204
            while (event := await events.receive_json())["type"] != "StasisEnd":
                pass
        await no_channels(pbx, world)
        assert "+18005550199 goes to the fallback: STASISSTATUS is SUCCESS" in (pbx.log / "full.log").read_text()

    async def test_a_stop_in_mid_call_is_quick_and_whole(self, own_pair: tuple[Instance, Instance]) -> None:
        pbx, world = own_pair
        await pbx.cli(f"channel originate PJSIP/{TONE}@carrier application Wait 60")
        await until(lambda: any(world.monitor.iterdir()))
        began, pid = time.monotonic(), pbx.pid
        await pbx.stop()
        assert time.monotonic() - began < 5
        assert not alive(pid)
        await world.idle()

    async def test_a_stranger_is_refused(self, pbx: Instance) -> None:
        """An INVITE from an address that is no trunk's gets 401, and no channel."""
        invite = (
            f"INVITE sip:+18005550199@127.0.0.1:{pbx.sip_port} SIP/2.0\r\n"
            "Via: SIP/2.0/UDP 127.0.0.9:{port};branch=z9hG4bKstranger;rport\r\n"
            "From: <sip:mallory@127.0.0.9>;tag=1\r\nTo: <sip:+18005550199@127.0.0.1>\r\n"
            "Call-ID: stranger@127.0.0.9\r\nCSeq: 1 INVITE\r\nContact: <sip:mallory@127.0.0.9:{port}>\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.bind(("127.0.0.9", 0))
            stranger.settimeout(5)
            port = stranger.getsockname()[1]
            stranger.sendto(invite.replace("{port}", str(port)).encode(), ("127.0.0.1", pbx.sip_port))
            answer = await asyncio.to_thread(stranger.recv, 4096)
        assert answer.startswith(b"SIP/2.0 401")


@pytest.mark.asterisk
async def test_a_configuration_may_be_changed_before_it_is_used(installation: Installation) -> None:
    def choose(config: AsteriskConfig) -> AsteriskConfig:
        return config.model_copy(update={"application": "another"})

    async with sandbox.start(choose=choose, installation=installation) as alone:
        assert alone.application == "another"
        assert "Stasis(another" in await alone.cli("dialplan show hookflash")
