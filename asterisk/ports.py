"""Loopback ports for private Asterisks: blocks that no two instances share, in this process or in another.

A block is claimed by listening on its first port, so the kernel is the registry and a crash frees it. The blocks lie
below and above the ports that Linux hands out by itself (32768 to 60999), from which a stray connection could take one.
"""

from __future__ import annotations

import os
import random
import socket
from types import TracebackType

BLOCK = 500
_FIRST_PORTS = (*range(10000, 32500, BLOCK), *range(61000, 65000, BLOCK))


class NoPortsLeftError(RuntimeError):
    """Every block is claimed or has a taken port."""


class Ports:
    """One claimed block. `sip` is for UDP and TCP; `rtp_start` to `rtp_end` (both included) are for media."""

    def __init__(self, base: int, guard: socket.socket) -> None:
        self._guard = guard
        self.http, self.sip, self.sips, self.spare = base + 1, base + 2, base + 3, base + 4
        self.rtp_start, self.rtp_end = base + 10, base + BLOCK - 1

    @classmethod
    def claim(cls) -> Ports:
        """Claim a free block, at a random place so that processes seldom meet. Raises NoPortsLeftError."""
        bases = list(_FIRST_PORTS)
        random.Random(os.urandom(8)).shuffle(bases)
        for base in bases:
            guard = _listener(base)
            if guard is None:
                continue
            if all(_free(base + offset) for offset in range(1, 5)):
                return cls(base, guard)
            guard.close()
        raise NoPortsLeftError(
            f"all {len(bases)} blocks of loopback ports are in use: stop other private Asterisks on this machine"
        )

    def release(self) -> None:
        """Give the block back."""
        self._guard.close()

    def __enter__(self) -> Ports:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def _listener(port: int) -> socket.socket | None:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(1)
    except OSError:
        listener.close()
        return None
    return listener


def _free(port: int) -> bool:
    """Whether nobody holds the port for TCP or UDP, on any loopback address."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT may be used
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                return False
    return True
