"""Which Asterisk is this, and can calls be trusted to it?

Asterisk keeps several branches alive at once, so "newer than" has no meaning across them: a feature arrives in
20.18, 22.8 and 23.2 on the same day. Everything here compares inside a branch. The known-bad ranges come from
reproductions on real instances and from Asterisk's issue tracker; each verdict names its source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "error"]


class UnknownVersionError(ValueError):
    """The text is not a version of Asterisk that can be judged (a development build says only a git hash)."""


@dataclass(frozen=True, order=True)
class Version:
    """A released version. `candidate` is the n of -rcN (a final release has 1000, so that it sorts after)."""

    major: int
    minor: int
    patch: int = 0
    candidate: int = 1000

    def __str__(self) -> str:
        suffix = "" if self.candidate == 1000 else f"-rc{self.candidate}"
        return f"{self.major}.{self.minor}.{self.patch}{suffix}"


@dataclass(frozen=True)
class Since:
    """The first release of each branch that has something; a branch that is not named never got it.

    Every branch after the newest one named here has it.
    """

    first: Mapping[int, Version]

    def __contains__(self, version: Version) -> bool:
        newest = max(self.first)
        if version.major > newest:
            return True
        first = self.first.get(version.major)
        return first is not None and version >= first


@dataclass(frozen=True)
class Verdict:
    """One judgement about a version: how bad, what is wrong, what to do."""

    level: Level
    what: str
    advice: str = ""


def _since(**branches: str) -> Since:
    return Since({int(branch.removeprefix("v")): parse(text) for branch, text in branches.items()})


def parse(text: str) -> Version:
    """Read the version out of what `asterisk -V`, ARI's `system.version` or a package says.

    Understands `22.10.1`, `Asterisk 22.10.1~dfsg+~cs6.17`, `22.11.0-rc1`, `certified-20.7-cert5` (a certified
    build counts as the release that it was cut from). Raises UnknownVersionError for anything else.
    """
    found = re.search(r"(?<![\w.])(\d{1,2})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[-~]?rc(\d+))?", text)
    if found is None or "GIT" in text:
        raise UnknownVersionError(
            f"cannot tell which Asterisk {text!r} is: a released version like 22.10.1 is expected"
        )
    major, minor, patch, candidate = found.groups()
    return Version(int(major), int(minor), int(patch or 0), 1000 if candidate is None else int(candidate))


BASELINE = _since(v20="20.20.1", v22="22.10.1", v23="23.4.1")
"""From here on ARI's security fixes of the 2026 batch are in (GHSA-wcvv-g26m-wx5c, GHSA-vrfp-mg3q-3959)."""

MEDIA_WEBSOCKET_JSON = _since(v20="20.18", v22="22.8", v23="23.2")
"""chan_websocket with JSON control, MARK_MEDIA and `transport_data`."""

HTTP_RESTRICTIONS = _since(v20="20.19", v22="22.9", v23="23.3")
"""`type=restriction` in http.conf and permit/deny for each user in ari.conf."""

SIGNALING_HOSTNAME = _since(v20="20.21", v22="22.11", v23="23.5")
"""`external_signaling_hostname`: a name instead of an address in Contact and Via, which Teams insists on."""

FIXES_OF_2211 = _since(v20="20.21", v22="22.11", v23="23.5")
"""No crash on a repeated channel id (926a1068f2), none on Refer-Sub (#2021), handshake time limit (#1979)."""

_UPGRADE = "Upgrade to the newest 22.x (long-term support); at least 22.10.1, 20.20.1 or 23.4.1."


def judge(version: Version) -> list[Verdict]:
    """What is known to be wrong with this version, worst first; a single `ok` when nothing is."""
    verdicts = _known_faults(version)
    if version not in BASELINE:
        verdicts.append(
            Verdict("error", f"Asterisk {version} is older than the oldest supported release of its branch", _UPGRADE)
        )
    elif version not in FIXES_OF_2211:
        verdicts.append(
            Verdict(
                "warn",
                f"Asterisk {version} stops serving calls when a client-mode media socket stalls (#1979) and crashes "
                "when a channel id is used twice; Hookflash avoids both (server mode, a new id each time)",
                "Prefer 22.11, 20.21 or 23.5, and let no other program use ARI's external media on this Asterisk.",
            )
        )
    if not verdicts:
        return [Verdict("ok", f"Asterisk {version}")]
    return sorted(verdicts, key=lambda verdict: verdict.level != "error")


def _known_faults(version: Version) -> list[Verdict]:
    branch = (version.major, version.minor)
    faults: list[Verdict] = []
    if branch in {(22, 6), (22, 7)}:
        faults.append(Verdict("error", "media WebSocket channels get stuck in 22.6 and 22.7 (#1643, #1645)", _UPGRADE))
    if branch == (22, 8):
        faults.append(Verdict("error", "loud noise instead of silence on media WebSockets in 22.8 (#1785)", _UPGRADE))
    if branch == (22, 9):
        faults.append(Verdict("error", "22.9 can deadlock when ARI hangs a call up (#1928)", _UPGRADE))
    if version == Version(22, 11, 0, 1):
        advice = "Use the final 22.11.0."
        faults.append(Verdict("error", "22.11.0-rc1 crashes on an unsolicited WebSocket PONG (#2085)", advice))
    return faults
