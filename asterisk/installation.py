"""An Asterisk that can be started here, with SIPp and flite beside it: the host's own, or one unpacked for us."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asterisk import debian
from asterisk.version import BASELINE, UnknownVersionError, Version, parse

_PACKAGES = {"asterisk": "asterisk", "sipp": "sip-tester", "flite": "flite", "openssl": "openssl"}
_HOST_MODULES = ("/usr/lib/asterisk/modules", "/usr/lib64/asterisk/modules", "/usr/lib/*-linux-gnu/asterisk/modules")
_HOST_DATA = ("/usr/share/asterisk", "/var/lib/asterisk")


@dataclass(frozen=True)
class Installation:
    """Programs that may be run and the folders that Asterisk needs. Blocking to make, free to use."""

    version: Version
    banner: str
    """What the program says of itself, such as `Asterisk 22.10.1~dfsg+~cs6.17.60671434`."""
    modules: Path
    data: Path
    programs: Mapping[str, tuple[str, ...]]
    """The beginning of a command line for each program: alone, or behind the dynamic loader that it needs."""
    env: Mapping[str, str] = field(repr=False, compare=False)

    def asterisk(self, *arguments: str) -> list[str]:
        """A command line for Asterisk."""
        return [*self.programs["asterisk"], *arguments]

    def sipp(self, *arguments: str) -> list[str]:
        """A command line for SIPp, the SIP load generator."""
        return [*self.programs["sipp"], *arguments]

    def flite(self, *arguments: str) -> list[str]:
        """A command line for flite, the speech synthesiser (`-voice slt -t TEXT -o FILE.wav`: 16 kHz, mono)."""
        return [*self.programs["flite"], *arguments]

    def openssl(self, *arguments: str) -> list[str]:
        """A command line for OpenSSL's tool."""
        return [*self.programs["openssl"], *arguments]

    @property
    def swagger(self) -> Path:
        """The folder with ARI's Swagger files (`channels.json`, `events.json`, …)."""
        return self.data / "rest-api"


def locate(cache: Path | None = None) -> Installation:
    """Find or unpack an Asterisk with chan_websocket, new enough for Hookflash.

    The host's own is taken when it is 22.10.1, 20.20.1, 23.4.1 or newer in its branch. Otherwise Debian's packages
    are unpacked into the user's cache, once (about 10 s and 300 MB). Blocking. Raises asterisk.debian.UnpackError
    with what to install where neither works.
    """
    host = _host_asterisk()
    have = {name: (path,) for name in _PACKAGES if (path := shutil.which(name)) and name != "asterisk"}
    if host and len(have) == len(_PACKAGES) - 1:
        banner, binary, modules, data = host
        return Installation(parse(banner), banner, modules, data, {"asterisk": (binary,), **have}, dict(os.environ))
    root = debian.unpack(tuple(_PACKAGES.values()), cache)
    unpacked = _unpacked(root)
    if host:
        banner, binary, modules, data = host
        programs = {**unpacked.programs, "asterisk": (binary,)}
        return Installation(parse(banner), banner, modules, data, programs, unpacked.env)
    return unpacked


def _host_asterisk() -> tuple[str, str, Path, Path] | None:
    """Banner, program, modules and data of the host's Asterisk, if it will do."""
    binary = shutil.which("asterisk") or shutil.which("asterisk", path="/usr/sbin:/usr/local/sbin")
    modules = _first(_HOST_MODULES, "chan_websocket.so")
    data = _first(_HOST_DATA, "rest-api")
    if binary is None or modules is None or data is None:
        return None
    banner = subprocess.run([binary, "-V"], capture_output=True, text=True, check=False, timeout=20).stdout.strip()
    try:
        good = parse(banner) in BASELINE
    except UnknownVersionError:
        good = False
    return (banner, binary, modules, data) if good else None


def _first(patterns: tuple[str, ...], holding: str) -> Path | None:
    """The first folder among `patterns` that has `holding` in it."""
    for pattern in patterns:
        for folder in Path("/").glob(pattern.lstrip("/")):
            if (folder / holding).exists():
                return folder
    return None


def _unpacked(root: Path) -> Installation:
    """The programs under `root`, run through its own dynamic loader, so that the host's libc does not matter."""
    library = next(iter(sorted(root.glob("usr/lib/*-linux-gnu*"))), None)
    loader = next(iter(sorted(library.glob("ld-linux*.so*"))), None) if library else None
    if library is None or loader is None:
        raise debian.UnpackError(f"{root} holds no libc: delete that folder, so that it is unpacked afresh")
    run = (str(loader), "--library-path", f"{library}:{root}/usr/lib")
    env = {
        **os.environ,
        # Without these the unpacked OpenSSL would read the configuration of the host's, which may be another version.
        "OPENSSL_CONF": f"{root}/etc/ssl/openssl.cnf",
        "OPENSSL_MODULES": f"{library}/ossl-modules",
    }
    binaries = {"asterisk": "usr/sbin/asterisk", "sipp": "usr/bin/sipp", "flite": "usr/bin/flite"}
    binaries["openssl"] = "usr/bin/openssl"
    programs = {name: (*run, f"{root}/{path}") for name, path in binaries.items()}
    told = subprocess.run(
        [*programs["asterisk"], "-V"], capture_output=True, text=True, check=False, timeout=20, env=env
    )
    if told.returncode:
        raise debian.UnpackError(
            f"the unpacked Asterisk does not start ({told.stderr.strip()}): delete {root} and try again; if that does "
            "not help, install Asterisk 22.10.1 or newer on this machine"
        )
    banner = told.stdout.strip()
    modules = library / "asterisk/modules"
    if not (modules / "chan_websocket.so").exists():
        modules = root / "usr/lib/asterisk/modules"
    return Installation(parse(banner), banner, modules, root / "usr/share/asterisk", programs, env)
