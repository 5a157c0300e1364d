"""What is kept of a live call beside its record, so that it can go on when its engine dies: `engine.resume` does that.

It is written with the record, in the same transaction, and goes with the first state of the record that is not live.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from engine.record import CallRecord

if TYPE_CHECKING:
    from engine.call import Call

SOON: Final = 2.0  # seconds from a change in the middle of a step until it is stored
LATER: Final = 0.05  # seconds more for each line of the record, all of which are written again


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a call had come. Flow, revision and step stand in its record.

    ``vars``: of the flow that took the call, without those that are sensitive or hold what is. ``resumed``: how often
    the call went on already.
    """

    channel: str
    at: datetime
    vars: Mapping[str, Any] = field(default_factory=dict)
    with_person: bool = False
    account: str | None = None
    fallback: str | None = None
    resumed: int = 0


@dataclass(frozen=True, slots=True)
class Left:
    """What a dead engine left of a call."""

    record: CallRecord
    checkpoint: Checkpoint


class Checkpoints(Protocol):
    """Where checkpoints go (see `engine.records.store.Records`). None of this but `claim` waits for a disk."""

    def follow(self, call_id: str, state: Callable[[], Checkpoint]) -> None:
        """From now on keep the call's state, as it is then, whenever its record is written as a live one."""

    def forget(self, call_id: str) -> None:
        """The call is over."""

    async def claim(self, engine: str, channel: str) -> Left | None:
        """What the engine of this name left of the call on this channel, its resumption counted; None: nothing.

        Raises `UserError`.
        """


async def keep(call: Call) -> None:
    """Have the call stored soon after something changed in the middle of a step, until cancelled.

    Its own pace, beside that of the writer, bounds what many long talks cost: a hundred take 2 % of a core, whatever
    their length (a write 0.6 ms of CPU with 10 lines of transcript, 1.0 ms with 60, 3.5 ms with 300).
    """
    while True:
        await call.unkept.wait()
        record = call.record
        await asyncio.sleep(SOON + LATER * (len(record.transcript) + len(record.steps) + len(record.tools)))
        if call.unkept.is_set():
            await call.save()


def state_of(call: Call, resumed: int = 0) -> Checkpoint:
    """The call as it is now. Nothing sensitive gets in."""
    flow, hidden = call.root.flow, call.root.secret
    return Checkpoint(
        channel=call.record.legs[0].id,
        at=call.services.clock.now(),
        vars={
            name: call.root.vars[name]
            for name, variable in flow.vars.items()
            if name in call.root.vars and not variable.sensitive and f"vars.{name}" not in hidden
        },
        with_person=call.with_person,
        account=call.account,
        fallback=call.fallback,
        resumed=resumed,
    )
