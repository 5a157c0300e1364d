"""Which media driver an Asterisk can serve."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

Driver = Literal["websocket", "audiosocket", "rtp"]

JSON_CONTROL = {20: (20, 18), 22: (22, 8), 23: (23, 2)}  # the first release of each branch that has it


def available(version: tuple[int, ...], modules: Collection[str]) -> tuple[Driver, ...]:
    """The drivers of an Asterisk of this version (22, 10, 1) with these loaded modules ("chan_websocket.so").

    Best first: websocket needs JSON control; AudioSocket needs both of its modules; RTP is what remains.
    """
    loaded = {module.removesuffix(".so") for module in modules}
    branch = version[0]
    speaks_json = branch > max(JSON_CONTROL) or (branch in JSON_CONTROL and version[:2] >= JSON_CONTROL[branch])
    found: list[Driver] = []
    if "chan_websocket" in loaded and speaks_json:
        found.append("websocket")
    if {"res_audiosocket", "chan_audiosocket"} <= loaded:
        found.append("audiosocket")
    return (*found, "rtp")
