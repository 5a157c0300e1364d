"""Who is told that a caller left a message: people by SMS, systems by an endpoint of the company.

The flow does not wait for it: a notice is an errand of the call, and what failed of it stands in the trace of the step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from engine.http import HttpFailedError
from engine.outcome import StepError
from engine.requests import ask
from engine.verbs.sms import LONGEST, USUAL, numbers_of, send_one

if TYPE_CHECKING:
    from engine.call import Call
    from engine.record import StepTrace
    from flows.flow import Step

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that was left: in which box, how long it is, its file, and its words where they are known."""

    box: str
    seconds: float
    file: Path
    text: str = ""


async def tell_all(call: Call, step: Step, trace: StepTrace, names: Sequence[str], notice: Notice, flow: str) -> None:
    """Tell all of these at once: names of endpoints, numbers, destinations, ``group:NAME``."""
    endpoints = call.library.resources.endpoints
    key = f"{call.record.id}-{call.record.steps.index(trace)}"
    async with asyncio.TaskGroup() as group:
        posted = [name for name in names if name in endpoints]
        telling = {name: group.create_task(_post(call, step, name, notice, flow, key)) for name in posted}
        if others := [name for name in names if name not in endpoints]:
            telling["sms"] = group.create_task(_send(call, step, others, notice, flow))
    for name, task in telling.items():
        if why := task.result():
            trace.detail = f"{trace.detail}; {name} was not told: {why}"
            log.warning("nobody was told of a message", box=notice.box, who=name, reason=why)


async def _post(call: Call, step: Step, name: str, notice: Notice, flow: str, key: str) -> str:
    """Tell an endpoint; why not, or ""."""
    body: dict[str, Any] = {
        "id": key, "box": notice.box, "seconds": round(notice.seconds, 1), "caller": call.line.facts.caller,
        "file": notice.file.name, "call": call.record.id, "flow": flow,
    }  # fmt: skip
    if notice.text:
        body["text"] = notice.text
    try:
        await ask(call, name, "POST", "", json=body, idempotency_key=key, step=step)
    except HttpFailedError as error:
        return str(error)
    return ""


async def _send(call: Call, step: Step, names: Sequence[str], notice: Notice, flow: str) -> str:
    """Tell people by the gateway `sms`; why not all of them, or ""."""
    caller = call.line.facts.caller or "an unknown number"
    words = f"New message of {notice.seconds:.0f} s for {notice.box} from {caller}."
    text = f"{words} {notice.text}".strip()[:LONGEST]
    if USUAL not in call.library.resources.endpoints:
        return f"there is no endpoint '{USUAL}'"
    try:
        numbers = numbers_of(names, call.library.resources)
    except StepError as error:
        return str(error)
    async with asyncio.TaskGroup() as group:
        sending = [group.create_task(send_one(call, step, flow, USUAL, "", number, text)) for number in numbers]
    failed = [str(failure) for task in sending if (failure := task.result()) is not None]
    return f"{len(failed)} of {len(numbers)}: {failed[0]}" if failed else ""
