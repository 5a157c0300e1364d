"""The functions of expressions that read the clock: ``is_open('name')`` and ``next_open('name')``."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final

from flows.calendars import Calendar
from flows.functions import Function

MOMENT: Final[ContextVar[Any]] = ContextVar("moment")
"""The ``now`` of the context in which an expression is evaluated."""


def clock_functions(calendars: Mapping[str, Calendar] | None) -> list[Function]:
    """Both, over these calendars and the `MOMENT` of the evaluation."""

    def calendar(name: Any) -> tuple[Calendar, datetime]:
        if calendars is None or name not in calendars:
            raise ValueError(f"unknown calendar '{name}'")
        now = MOMENT.get(None)
        if not isinstance(now, datetime):
            raise ValueError("the context holds no 'now'")
        return calendars[name], now

    def is_open(name: Any) -> bool:
        hours, now = calendar(name)
        return hours.state(now) == "open"

    def next_open(name: Any) -> str:
        hours, now = calendar(name)
        return hours.say_next_open(now)

    return [
        Function("is_open", ((("string",), "boolean"),), is_open),
        Function("next_open", ((("string",), "string"),), next_open),
    ]
