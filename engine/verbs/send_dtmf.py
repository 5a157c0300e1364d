"""`send_dtmf`: press keys towards the caller."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import Field

from engine.call import Call
from engine.outcome import DONE, Outcome, StepError
from engine.verb import Verb
from flows.fields import Text
from flows.flow import Step
from flows.problems import Problem
from flows.scope import Scope
from flows.verb import Fields

KEYS = re.compile(r"[0-9*#A-D]{1,64}")
WHAT_CAN = "send_dtmf sends 1 to 64 of 0-9, *, # and A-D"
PER_KEY = 0.2  # seconds: a key and the pause behind it, as the line sends them


class SendDtmfFields(Fields):
    """Which keys."""

    digits: Text = Field(description="0-9, *, # and A-D, 64 at most; may hold ${expressions}.")


class SendDtmf(Verb):
    """Ends when the last key was sent, so that what is spoken next does not drown it."""

    name: ClassVar[str] = "send_dtmf"
    summary: ClassVar[str] = "Send telephone keys (DTMF) to the caller."
    Fields: ClassVar[type[Fields]] = SendDtmfFields
    shorthand: ClassVar[str | None] = "digits"

    def check(self, fields: Any, scope: Scope) -> Iterable[Problem]:
        """Keys that no telephone has."""
        written = fields.digits.literal
        if written is not None and not KEYS.fullmatch(written):
            yield scope.problem(scope.at("digits"), "E203", f"'{written}' cannot be sent: {WHAT_CAN}")

    async def run(self, step: Step, call: Call) -> Outcome:
        """Answer, for nobody takes keys before, and send them."""
        fields = step.fields
        assert isinstance(fields, SendDtmfFields)
        await send(call, fields.digits.render(call.walker.context()))
        return DONE


async def send(call: Call, digits: str) -> None:
    """Answer, send keys to the caller, and wait until the last one was sent. Raises `StepError`."""
    if not KEYS.fullmatch(digits):
        raise StepError(f"these digits cannot be sent: {WHAT_CAN}")  # which ones may be a secret
    await call.answer()
    await call.line.send_digits(digits)
    await asyncio.sleep(PER_KEY * len(digits))
