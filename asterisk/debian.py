"""Debian's packages without root: download a closure from sid with a private apt, unpack it into the user's cache.

Nothing on the machine is installed or changed. The mirror and the proxy are those of the machine's own apt; the
status file is empty, so the closure holds everything down to libc, and the programs run through the unpacked
dynamic loader whatever the host's libc is.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

SUITE = "sid"
KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg",
)
_UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/lib/python3*", "usr/lib/*/perl")
"""Parts of the closure that only the packages' installation scripts need, which never run here."""
_SECONDS = 540
_RETRIES = 3


class UnpackError(RuntimeError):
    """The packages could not be had; the message says why and what to install or allow."""


def cache_folder() -> Path:
    """Where everything is kept: `$XDG_CACHE_HOME/hookflash`, else `~/.cache/hookflash`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hookflash"


def unpack(packages: Sequence[str], cache: Path | None = None) -> Path:
    """Unpack `packages` with all that they depend on; returns the root of the unpacked tree.

    A finished tree is used again (a matter of one `stat`). Two processes that ask at once wait for each other.
    Raises UnpackError.
    """
    for tool in ("apt-get", "dpkg", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UnpackError(
                f"{tool} is missing: a private Asterisk is unpacked from Debian's packages, which needs Debian or a "
                "relative of it. Elsewhere install Asterisk 22.10.1 or newer (with chan_websocket), sipp and flite."
            )
    cache = cache or cache_folder()
    architecture = _run("dpkg", "--print-architecture").strip()
    name = f"{SUITE}-{architecture}-{hashlib.sha256(' '.join(sorted(packages)).encode()).hexdigest()[:8]}"
    root = cache / name
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{name}.lock"):
        if not root.is_dir():
            work = cache / f"{name}.partial"
            shutil.rmtree(work, ignore_errors=True)
            _download(packages, architecture, work)
            _extract(sorted((work / "cache/archives").glob("*.deb")), work / "root")
            (work / "root").rename(root)
            shutil.rmtree(work)
    return root


def mirror() -> str:
    """The Debian mirror of the machine's own apt, whether or not that has fetched its lists. Raises `UnpackError`."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--no-release-info", "--format", "$(SITE) $(COMPONENT)"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    for line in listing.stdout.splitlines():
        site, _, component = line.partition(" ")
        if component == "main" and site.rstrip("/").endswith("/debian"):  # not -security, not somebody else's
            return site
    raise UnpackError(
        "the machine's apt names no Debian mirror (apt-get indextargets shows no component main below /debian): "
        "add one to /etc/apt/sources.list.d, or install asterisk, sip-tester and flite yourself"
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _download(packages: Sequence[str], architecture: str, work: Path) -> None:
    for folder in ("state/lists/partial", "cache/archives/partial", "sources"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    site = mirror()
    keyring = next((path for path in KEYRINGS if Path(path).exists()), None)
    signed_by = f"Signed-By: {keyring}\n" if keyring else ""
    source = f"Types: deb\nURIs: {site}\nSuites: {SUITE}\nComponents: main\n{signed_by}"
    (work / "sources/debian.sources").write_text(source)
    settings = work / "apt.conf"
    settings.write_text(_apt_settings(work, architecture))
    _say(f"fetching Debian's list of packages ({SUITE}, {architecture}) from {site}")
    _apt(settings, "update", f"the package list of {site} ({SUITE}) could not be fetched or verified")
    _say(f"fetching {', '.join(packages)} and what they need (about 140 MB)")
    _apt(settings, ["--download-only", "--yes", "install", *packages], f"{site} could not deliver the packages")


def _apt_settings(work: Path, architecture: str) -> str:
    """Our own folders; the machine's proxy and credentials stay, its hooks on installation do not."""
    hooks = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"]
    hooks += ["DPkg::Pre-Invoke", "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs", "APT::Architectures"]
    values = {
        "APT::Architecture": architecture,
        "APT::Default-Release": "",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # as root, apt would drop to _apt, which may not read the user's cache
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": str(_RETRIES),
        "Dir::State": f"{work}/state",
        "Dir::State::status": f"{work}/status",
        "Dir::Cache": f"{work}/cache",
        "Dir::Cache::archives": "archives",
        "Dir::Log": f"{work}",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": f"{work}/sources",
        "Dir::Etc::preferences": "/dev/null",
        "Dir::Etc::preferencesparts": "/dev/null",
    }
    lines = [f"#clear {hook};" for hook in hooks] + [f'{key} "{value}";' for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _apt(settings: Path, action: str | list[str], failure: str) -> None:
    command = ["apt-get", "-c", str(settings), "-q", *([action] if isinstance(action, str) else action)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired as slow:
        raise UnpackError(f"{failure}: no end after {_SECONDS} s; is the network slow or the mirror stuck?") from slow
    complaints = [line for line in done.stderr.splitlines() if line.startswith(("E:", "Err:"))]
    # apt-get update ends with 0 even where an index could not be had: it then warns that "Some index files failed".
    complaints += [line for line in done.stderr.splitlines() if "index files failed" in line]
    if done.returncode or complaints:
        hint = ""
        if "NO_PUBKEY" in done.stderr or "not signed" in done.stderr:
            hint = "\nInstall Debian's keys: apt-get install debian-archive-keyring (or update that package)."
        raise UnpackError(f"{failure}:\n  " + "\n  ".join(complaints or done.stderr.splitlines()[-5:]) + hint)


def _extract(archives: Sequence[Path], root: Path) -> None:
    _say(f"unpacking {len(archives)} packages")
    root.mkdir()
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for _ in pool.map(lambda archive: _run("dpkg-deb", "-x", str(archive), str(root)), archives):
            pass
    for pattern in _UNUSED:
        for folder in root.glob(pattern):
            shutil.rmtree(folder)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        raise UnpackError(f"{' '.join(command)} failed: {done.stderr.strip()}")
    return done.stdout


def _say(text: str) -> None:
    print(f"sandbox: {text}", file=sys.stderr, flush=True)  # noqa: T201
