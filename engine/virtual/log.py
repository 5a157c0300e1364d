"""What happened on a virtual line, in order: written down for assertions, and waited for by scripts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

What = Literal[
    "rings",  # the caller hears that it rings
    "progress",  # the caller hears the engine although the call is not answered
    "answered",  # the call, or a target
    "heard",  # an utterance (`text`) to its end, or another sound (no text) until it stopped: `ms` of it
    "cut",  # the same, cut off by a flush or by the end: `ms` were heard
    "said",  # the caller's words, when they are said
    "beeped",  # the caller is an answering machine
    "pressed",  # one key
    "sent_digits",
    "dialled",
    "refused",  # a target will not or cannot: `text` is the status
    "connected",  # caller and target hear each other
    "hung_up",  # `text`: who hung up (caller, engine, target, close)
    "tells",  # somebody outside (webhook, supervisor) tells the call of an event
    "given_back",  # to what stands behind the engine
    "let_be",  # the caller and a person talk on, without the engine
]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, to the caller or to the target ``who``, ``at`` seconds after the call came."""

    at: float
    who: str
    what: What
    text: str = ""
    ms: int = 0

    def __str__(self) -> str:
        length = f" ({self.ms} ms)" if self.what in ("heard", "cut", "said", "beeped") else ""
        return f"{self.at:9.3f}  {self.who}  {self.what}  {self.text}{length}"


class NeverHappened(AssertionError):  # noqa: N818 - what it says
    """A script waited for what did not happen; the text shows what did."""


class Log:
    """Everything that happened on one line, oldest first."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.on_entry: Callable[[], None] = lambda: None  # called after each entry
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._seen = 0
        self._waiting: list[tuple[Callable[[Entry], bool], asyncio.Future[Entry]]] = []

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __str__(self) -> str:
        return "\n".join(str(entry) for entry in self.entries) or "nothing happened"

    @property
    def now(self) -> float:
        """Seconds since the call came."""
        return self._loop.time() - self._began

    def add(self, who: str, what: What, text: str = "", ms: int = 0) -> None:
        """Write down what happens now."""
        entry = Entry(round(self.now, 6), who, what, text, ms)
        self.entries.append(entry)
        for matches, future in self._waiting:
            if not future.done() and matches(entry):
                self._seen = len(self.entries)
                future.set_result(entry)
        self.on_entry()

    def find(self, *what: What, who: str | None = None) -> list[Entry]:
        """All entries of these kinds, of everybody or of one party."""
        return [entry for entry in self.entries if entry.what in what and who in (None, entry.who)]

    def heard(self, who: str = "caller") -> list[str]:
        """What a party was told, in words; what was cut off ends with ``…``, what they heard nothing of is left out."""
        entries = [entry for entry in self.find("heard", "cut", who=who) if entry.text and entry.ms]
        return [entry.text + ("…" if entry.what == "cut" else "") for entry in entries]

    async def until(self, *what: What, who: str | None = None, text: str = "", within: float = 60.0) -> Entry:
        """Wait for the next such entry after the one waited for before; `NeverHappened` after ``within`` seconds.

        ``text`` must occur in the entry's text, in any case.
        """

        def matches(entry: Entry) -> bool:
            return entry.what in what and who in (None, entry.who) and text.casefold() in entry.text.casefold()

        for index in range(self._seen, len(self.entries)):
            if matches(self.entries[index]):
                self._seen = index + 1
                return self.entries[index]
        future: asyncio.Future[Entry] = self._loop.create_future()
        waiter = (matches, future)
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(within):
                return await future
        except TimeoutError:
            wanted = " or ".join(what) + (f" {text!r}" if text else "") + (f" of {who}" if who else "")
            raise NeverHappened(f"no {wanted} within {within:g} s. What happened:\n{self}") from None
        finally:
            self._waiting.remove(waiter)
