"""Where a step of a record stands: its flow and its line; and values as JSON has them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from flows.library import Library


@dataclass(slots=True)
class Places:
    """Which flow a step belongs to, by the file that its trace names (``reception.flow.yaml:7:3``)."""

    flows: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, library: Library) -> Places:
        """Of all flows of a library."""
        return cls({flow.file: flow.name for flow in (*library.next.values(), *library.flows.values())})

    def flow(self, where: str) -> str | None:
        """The flow of a place; None when that flow is gone."""
        return self.flows.get(where.rsplit(":", 2)[0])

    @staticmethod
    def line(where: str) -> int:
        """The line of a place; 0 when it names none."""
        parts = where.rsplit(":", 2)
        return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else 0


def plain(value: Any) -> Any:
    """A value as JSON has it; what JSON does not know (a time) as text."""
    return json.loads(json.dumps(value, default=str))
