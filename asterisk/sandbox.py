"""Private Asterisks without root, Docker or chroot: for the demo, for the tests, and to try a configuration.

    async with sandbox.start() as pbx:                  # one Asterisk, configured as Hookflash's documentation says
        print(await pbx.cli("core show version"))

    async with sandbox.pair() as (pbx, world):          # the company's Asterisk, and one that plays everybody else
        await world.cli("channel originate PJSIP/+12125550100@pbx application Echo")

`python -m asterisk.sandbox` unpacks Asterisk and says which and where.
"""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from asterisk.config import AriUser, AsteriskConfig, Certificate, Folders, Http, Sip, Teams, Trunk
from asterisk.config.render import template
from asterisk.debian import UnpackError, cache_folder
from asterisk.installation import Installation, locate
from asterisk.instance import DiedError, Instance, PortTakenError, SandboxError
from asterisk.ports import NoPortsLeftError, Ports

__all__ = [
    "Installation",
    "Instance",
    "NoPortsLeftError",
    "PortTakenError",
    "Ports",
    "SandboxError",
    "UnpackError",
    "certificate",
    "locate",
    "pair",
    "start",
]

_ATTEMPTS = 3
PBX_TLS_ADDRESS = "127.0.0.3"
WORLD_TLS_ADDRESS = "127.0.0.2"
"""Addresses of their own, so that each side knows the other's TLS calls by where they come from, as in production."""

Choice = Callable[[AsteriskConfig], AsteriskConfig]


@asynccontextmanager
async def start(
    name: str = "pbx",
    folder: Path | None = None,
    *,
    choose: Choice = lambda config: config,
    extra: Mapping[str, str] | None = None,
    installation: Installation | None = None,
) -> AsyncIterator[Instance]:
    """Start one Asterisk on free loopback ports and stop it at the end.

    `folder` keeps everything it writes; without one a temporary folder is used, and removed unless something failed.
    `choose` may change the configuration before it is rendered; `extra` appends text to configuration files by name
    (`{"extensions.conf": "[mine]\\n…"}`). Raises UnpackError, NoPortsLeftError, SandboxError.
    """
    found = await asyncio.to_thread(locate) if installation is None else installation

    def configure(ports: Ports, folders: Folders) -> AsteriskConfig:
        return choose(_loopback(found, ports, folders, name))

    async with AsyncExitStack() as stack:
        for attempt in range(1, _ATTEMPTS + 1):
            instance = Instance(found, name, folder, Ports.claim(), configure, extra or {})
            try:
                await stack.enter_async_context(instance)
                break
            except (PortTakenError, DiedError):
                if attempt == _ATTEMPTS:
                    raise
                instance.discard()
        yield instance


@asynccontextmanager
async def pair(
    folder: Path | None = None,
    *,
    choose_pbx: Choice = lambda config: config,
    extra_pbx: Mapping[str, str] | None = None,
    extra_world: Mapping[str, str] | None = None,
    installation: Installation | None = None,
) -> AsyncIterator[tuple[Instance, Instance]]:
    """Start `pbx`, the company's Asterisk, and `world`, which plays carrier, callers and Teams, wired together.

    On the pbx: trunk `carrier` (UDP, known by address and port) and endpoint `teams` (TLS and SRTP), both to the
    world. On the world: `pbx` (UDP) and `pbx-tls` to the pbx, ARI with an application `world`, and the numbers that
    are described in config/world.conf. Raises as `start` does.
    """
    found = await asyncio.to_thread(locate) if installation is None else installation
    for attempt in range(1, _ATTEMPTS + 1):
        async with AsyncExitStack() as stack:
            ports = stack.enter_context(Ports.claim()), stack.enter_context(Ports.claim())
            pbx, world = _wired(found, folder, ports, choose_pbx, extra_pbx or {}, extra_world or {})
            try:
                await stack.enter_async_context(world)
                await stack.enter_async_context(pbx)
            except (PortTakenError, DiedError):
                if attempt == _ATTEMPTS:
                    raise
                world.discard()
                pbx.discard()
                continue
            yield pbx, world
            return


def certificate(installation: Installation, folder: Path) -> Certificate:
    """A throw-away certificate for localhost (30 days), which is its own authority. Raises UnpackError."""
    files = Certificate(
        certificate=folder / "localhost.crt", key=folder / "localhost.key", authorities=folder / "localhost.crt"
    )
    names = "DNS:localhost,IP:127.0.0.1," + ",".join(f"IP:{at}" for at in (WORLD_TLS_ADDRESS, PBX_TLS_ADDRESS))
    request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    request += ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"]
    made = subprocess.run(
        installation.openssl(*request, "-keyout", str(files.key), "-out", str(files.certificate)),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env=dict(installation.env),
    )
    if made.returncode:
        raise UnpackError(f"openssl could not make a certificate: {made.stderr.strip()}")
    files.key.chmod(0o600)
    return files


def _loopback(installation: Installation, ports: Ports, folders: Folders, name: str) -> AsteriskConfig:
    """An Asterisk that is reached on loopback alone. Its ARI password is as secret as the folder."""
    return AsteriskConfig(
        version=str(installation.version),
        application="world" if name == "world" else "hookflash",
        # Plain: a crypted password costs Asterisk milliseconds of CPU on every request.
        users=(AriUser(password=secrets.token_hex(16), password_format="plain"),),
        http=Http(port=ports.http, permit=("127.0.0.0/8",)),
        sip=Sip(
            bind="127.0.0.1",
            port=ports.sip,
            tls_bind=WORLD_TLS_ADDRESS if name == "world" else PBX_TLS_ADDRESS,
            tls_port=ports.sips,
            certificate=certificate(installation, folders.etc),
            media_address="127.0.0.1",
        ),
        rtp_start=ports.rtp_start,
        rtp_end=ports.rtp_end,
        folders=folders,
    )


def _wired(
    installation: Installation,
    folder: Path | None,
    claimed: tuple[Ports, Ports],
    choose_pbx: Choice,
    extra_pbx: Mapping[str, str],
    extra_world: Mapping[str, str],
) -> tuple[Instance, Instance]:
    pbx_ports, world_ports = claimed
    shared: list[Certificate] = []

    def configure_world(ports: Ports, folders: Folders) -> AsteriskConfig:
        config = _loopback(installation, ports, folders, "world")
        assert config.sip.certificate
        shared.append(config.sip.certificate)
        trunks = (
            _local_trunk("pbx", "127.0.0.1", pbx_ports.sip, "udp", context="world"),
            _local_trunk("pbx-tls", PBX_TLS_ADDRESS, pbx_ports.sips, "tls", context="world"),
        )
        return config.model_copy(update={"trunks": trunks})

    def configure_pbx(ports: Ports, folders: Folders) -> AsteriskConfig:
        config = _loopback(installation, ports, folders, "pbx")
        teams = Teams(hosts=(WORLD_TLS_ADDRESS,), port=world_ports.sips, match=(WORLD_TLS_ADDRESS,), qualify_s=0)
        carrier = _local_trunk("carrier", "127.0.0.1", world_ports.sip, "udp")
        sip = config.sip.model_copy(update={"certificate": shared[0]})
        return choose_pbx(config.model_copy(update={"trunks": (carrier,), "teams": teams, "sip": sip}))

    world_extra = {**extra_world, "extensions.conf": template("world.conf") + extra_world.get("extensions.conf", "")}
    world = Instance(installation, "world", folder and folder / "world", world_ports, configure_world, world_extra)
    pbx = Instance(installation, "pbx", folder and folder / "pbx", pbx_ports, configure_pbx, extra_pbx)
    return pbx, world


def _local_trunk(name: str, host: str, port: int, transport: str, context: str | None = None) -> Trunk:
    match = f"{host}:{port}" if transport == "udp" else host
    return Trunk.model_validate(
        {
            "name": name,
            "host": host,
            "port": port,
            "transport": transport,
            "match": (match,),
            "context": context,
            "qualify_s": 0,
        }
    )


def main() -> int:
    """Unpack if needed, and say what there is."""
    try:
        installation = locate()
    except UnpackError as problem:
        print(f"sandbox: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    print(f"{installation.banner}\n{installation.programs['asterisk'][-1]}\ncache: {cache_folder()}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
