"""Deeds with a key: what was asked once is done once, however often it is asked."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from engine.console.models import ActionResult
from engine.console.problems import ProblemError

REMEMBERED: Final = 600.0  # seconds
MOST: Final = 1000
LONGEST_KEY: Final = 255


@dataclass(slots=True)
class _Deed:
    asked: str
    at: float
    done: asyncio.Future[ActionResult]


class Deeds:
    """What was asked by which key, in the last 10 minutes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], _Deed] = OrderedDict()

    async def once(self, who: str, key: str, asked: str, do: Callable[[], Awaitable[ActionResult]]) -> ActionResult:
        """Do it, or answer what was done under this key. Raises what doing it raises; then it may be tried again.

        Raises `ProblemError` when the key was used for something else.
        """
        now = asyncio.get_running_loop().time()
        while self._known and (len(self._known) >= MOST or next(iter(self._known.values())).at < now - REMEMBERED):
            self._known.popitem(last=False)
        if (deed := self._known.get((who, key))) is not None:
            if deed.asked != asked:
                raise ProblemError("key-in-use", "this Idempotency-Key was used for another request")
            return await asyncio.shield(deed.done)
        deed = self._known[who, key] = _Deed(asked, now, asyncio.get_running_loop().create_future())
        try:
            result = await do()
        except BaseException as error:
            self._known.pop((who, key), None)
            if isinstance(error, Exception):
                deed.done.set_exception(error)
                deed.done.exception()  # who waits for it gets it as well; nobody need
            else:
                deed.done.set_exception(ProblemError("not-possible", "it was broken off: look, and ask again"))
                deed.done.exception()
            raise
        deed.done.set_result(result)
        return result


def key_of(header: str | None) -> str:
    """A key as the header gives it. Raises `ProblemError`."""
    if header is None or not 0 < len(header) <= LONGEST_KEY or not header.isascii() or not header.isprintable():
        reasons = [f"Idempotency-Key: 1 to {LONGEST_KEY} printable characters of ASCII, new for each deed"]
        raise ProblemError("bad-request", "an action needs the header Idempotency-Key", reasons)
    return header
