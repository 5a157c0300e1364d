"""Names that we give: channel and bridge ids before the POST that makes them, and the application's name.

Events of a new channel arrive before the answer to its POST, so whoever waits for them must know the id first.
"""

from __future__ import annotations

import os
import re
import secrets
import socket

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,40}")


def new_id(prefix: str = "hf") -> str:
    """A fresh id for a channel, bridge or playback: `<prefix>-<16 hex digits>`, at most 57 bytes.

    `prefix`: 1 to 40 letters, digits, `-` or `_`; else `ValueError`. 64 random bits: no two alike, and none guessed.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} cannot begin an id: use 1 to 40 letters, digits, - or _")
    return f"{prefix}-{secrets.token_hex(8)}"


def app_name(prefix: str = "hookflash") -> str:
    """An application name of this process alone: `<prefix>-<host>-<pid>-<random>`, under Asterisk's limit of 72 bytes.

    Two clients with one name take each other's events away, so every engine has its own.
    """
    host = re.sub(r"[^a-z0-9-]", "-", socket.gethostname().split(".")[0].lower())[:20] or "host"
    if len(prefix) > 30 or not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} cannot begin an application name: use 1 to 30 letters, digits, - or _")
    return f"{prefix}-{host}-{os.getpid()}-{secrets.token_hex(3)}"
