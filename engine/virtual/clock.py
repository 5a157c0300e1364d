"""The virtual clock: an asyncio event loop whose time jumps to the next timer as soon as nothing else is ready.

A minute of ringing takes as long as the code that runs in it: microseconds. There are no threads and no sockets, so the
same test does the same every time. `asyncio.sleep`, `asyncio.timeout`, task groups, queues and locks work as always.
What must really be waited for (a language model) is asked through `engine.virtual.outside`, while this clock stands.

What would hang a real test ends at once and says why (`VirtualTimeError`): tasks that wait for each other, a wait for
the world outside, a loop that goes on for ever, a task that was left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from asyncio import base_events
from collections.abc import Callable, Coroutine, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, ParamSpec, TypeVar, overload

from engine.services import Clock

P = ParamSpec("P")
T = TypeVar("T")

START: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)  # a Monday morning
LIMIT: Final = 6 * 3600.0  # virtual seconds: longer than any call
_SETTLE: Final = 10  # turns of the loop in which cancelled tasks may end once the main one has

# What needs the world outside. Coroutines and plain methods alike raise when they are called.
_REAL: Final = (
    "add_reader", "add_writer", "add_signal_handler", "connect_read_pipe", "connect_write_pipe", "create_connection",
    "create_datagram_endpoint", "create_server", "create_unix_connection", "create_unix_server", "getaddrinfo",
    "getnameinfo", "sendfile", "sock_accept", "sock_connect", "sock_recv", "sock_recv_into", "sock_sendall",
    "start_tls", "subprocess_exec", "subprocess_shell",
)  # fmt: skip


class VirtualTimeError(RuntimeError):
    """Something cannot come to its end under the virtual clock; the text says what, and which tasks wait where."""


class Deadlock(VirtualTimeError):  # noqa: N818 - the word of the trade
    """Nothing is ready and no timer is set: nothing can ever happen again."""


class VirtualLoop(base_events.BaseEventLoop):
    """An event loop on virtual time, which starts with 0. ``start`` is the date at that moment.

    ``limit`` bounds it, in virtual seconds: what runs for longer waits in a loop for something that never comes.
    """

    def __init__(self, start: datetime = START, limit: float = LIMIT) -> None:
        super().__init__()
        self._start = start
        self._limit = limit
        self._time = 0.0
        self._held = 0
        self._woken: SimpleQueue[None] = SimpleQueue()  # may be filled from a signal handler, as other queues may not
        self._selector = self  # the base class asks it for what the world outside has to say

    def time(self) -> float:
        """Virtual seconds since the start."""
        return self._time

    def now(self) -> datetime:
        """The virtual date."""
        return self._start + timedelta(seconds=self._time)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Time stands still inside: something is really waited for, and no timer fires because that takes long.

        What is waited for must come from another thread (`call_soon_threadsafe`) and must have a bound of its own.
        """
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def select(self, timeout: float | None) -> list[Any]:
        """The base class is about to sleep: jump instead, or really sleep while time is held."""
        if self._held and timeout != 0:
            self._woken.get()
            return []
        if timeout is None:
            raise Deadlock(
                "nothing is ready and no timer is set, so nothing can ever happen again (threads and sockets do not "
                f"count under the virtual clock). Waiting:{_waiting(asyncio.all_tasks(self))}"
            )
        if timeout > 0:
            self._time = max(self._time, self._scheduled[0].when())  # type: ignore[attr-defined]
            if self._time > self._limit:
                limit, self._limit = self._limit, float("inf")  # what cleans up now may take its time
                raise VirtualTimeError(
                    f"more than {limit:,.0f} virtual seconds passed: something waits in a loop for what never comes. "
                    f"Waiting:{_waiting(asyncio.all_tasks(self))}"
                )
        return []

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override]
        """Run it here and now: there are no threads."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Another thread, or a signal, has something for this loop."""
        self._woken.put(None)


def _refusal(name: str) -> Callable[..., Any]:
    def refuse(self: VirtualLoop, *args: Any, **options: Any) -> Any:
        raise VirtualTimeError(
            f"{name}: the virtual clock does not wait for the world outside (sockets, names, programs); "
            f"give the test a stand-in, or run it on a real event loop"
        )

    return refuse


for _name in _REAL:
    setattr(VirtualLoop, _name, _refusal(_name))


def run(main: Coroutine[Any, Any, T], *, start: datetime = START, limit: float = LIMIT) -> T:
    """Run a coroutine on a virtual clock and return what it returns.

    Raises `VirtualTimeError` when it cannot end, or when it ends and leaves tasks behind.
    """
    runner = asyncio.Runner(loop_factory=lambda: VirtualLoop(start, limit))
    try:
        return runner.run(_alone(main))
    finally:
        with contextlib.suppress(VirtualTimeError):  # the first one has been told
            runner.close()


async def _alone(main: Coroutine[Any, Any, T]) -> T:
    result = await main
    for _ in range(_SETTLE):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            return result
        await asyncio.sleep(0)
    raise VirtualTimeError(f"tasks were left behind:{_waiting(left)}")


@overload
def virtual_time(test: Callable[P, Coroutine[Any, Any, T]], /) -> Callable[P, T]: ...
@overload
def virtual_time(
    *, start: datetime = START, limit: float = LIMIT
) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], Callable[P, T]]: ...
def virtual_time(test: Any = None, /, *, start: datetime = START, limit: float = LIMIT) -> Any:
    """Make a plain test function of an async one, run by `run`: ``@virtual_time`` or ``@virtual_time(start=…)``.

    Fixtures and parameters reach the test as they do without it; async fixtures would live in another loop.
    """
    if test is None:
        return functools.partial(virtual_time, start=start, limit=limit)

    @functools.wraps(test)
    def plain(*args: Any, **options: Any) -> Any:
        return run(test(*args, **options), start=start, limit=limit)

    return plain


def virtual_clock() -> Clock:
    """The time of day for `engine.services.Services`, in step with the virtual loop that runs."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise VirtualTimeError("there is no virtual date here: run this with engine.virtual.run or @virtual_time")
    return Clock(loop.now())


# ── Who waits where ───────────────────────────────────────────────────────────────────────────────────────────────────


def _waiting(tasks: Iterable[asyncio.Task[Any]]) -> str:
    lines = [f"\n  {task.get_name()}: {_place(task)}" for task in sorted(tasks, key=lambda task: task.get_name())]
    return "".join(lines) or " nobody"


def _place(task: asyncio.Task[Any]) -> str:
    """The innermost line of ours in which a task waits."""
    at: Any = task.get_coro()
    place = getattr(at, "__qualname__", "?")
    while at is not None:
        frame = getattr(at, "cr_frame", None) or getattr(at, "ag_frame", None)
        if frame is not None and "/asyncio/" not in frame.f_code.co_filename:
            place = f"{frame.f_code.co_qualname} ({Path(frame.f_code.co_filename).name}:{frame.f_lineno})"
        at = getattr(at, "cr_await", None) or getattr(at, "ag_await", None)
    return place
