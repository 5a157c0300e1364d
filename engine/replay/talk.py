"""What was said in a talk with the AI, as lines of a test: the caller's words, and what the AI did then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from engine.discretion import WORDS
from engine.record import CallRecord, Spoken, StepTrace, ToolUse
from engine.replay.written import Noted

NO_EXIT: Final = frozenset({"done", "error", "cancelled", "silence", "max_duration", "provider_error"})
NOBODY_SPOKE: Final = "the record has no words of the caller here; the AI went on without any, or they were not stored"
TWICE: Final = "the AI used '{}' more than once in this turn; a test can have it once"
MASKED: Final = "sensitive values are not on record: fill in what fits for … and 0"


@dataclass(slots=True)
class Turn:
    """What the caller said, and what the AI did until they spoke again."""

    caller: str
    tools: dict[str, Any] = field(default_factory=dict)
    says: list[str] = field(default_factory=list)
    ends: dict[str, Any] = field(default_factory=dict)  # the exit and its data, or that it breaks down
    notes: list[str] = field(default_factory=list)

    @property
    def is_answered(self) -> bool:
        """Whether the AI did anything."""
        return bool(self.tools or self.says or self.ends)

    def line(self) -> Any:
        """The line of the script."""
        reply: dict[str, Any] = {}
        if self.tools:
            reply["tools"] = self.tools
        if self.says:
            reply["says"] = " ".join(self.says)
        reply |= self.ends
        line = {"caller": self.caller, "converse": reply} if reply else {"caller": self.caller}
        return Noted(line, "; ".join(dict.fromkeys(self.notes))) if self.notes else line


def talk(record: CallRecord, step: StepTrace, until: datetime) -> list[Any]:
    """The lines of one `converse` step that lasted until then."""
    turns: list[Turn] = []
    for item in _told(record, step.started, until):
        _take(turns, item)
    outcome = step.outcome or "cancelled"
    if outcome not in NO_EXIT:
        ends: dict[str, Any] = {"exit": outcome}
        if "data" in step.data:
            ends["data"] = step.data["data"]
        _last(turns).ends = ends
        if WORDS in str(ends.get("data", "")):
            turns[-1].notes.append(MASKED)
    elif outcome == "provider_error" and turns:
        turns[-1].ends = {"fails": True}
    return [turn.line() for turn in turns]


def _told(record: CallRecord, begins: datetime, ends: datetime) -> list[Spoken | ToolUse]:
    """What was said and used in that time, in order; without the flow's own words."""
    said = [one for one in record.transcript if one.role == "caller" or one.improvised]
    both: list[Spoken | ToolUse] = [*said, *record.tools]
    return sorted((one for one in both if begins <= one.at <= ends), key=lambda one: one.at)


def _take(turns: list[Turn], item: Spoken | ToolUse) -> None:
    if isinstance(item, Spoken) and item.role == "caller":
        if turns and not turns[-1].is_answered:
            turns[-1].caller += f" {item.text}"  # a pause within one turn
        else:
            turns.append(Turn(item.text))
    elif isinstance(item, Spoken):
        if turns:  # else the AI began by itself, which no test can say
            turns[-1].says.append(item.text)
    else:
        turn = _last(turns)
        if item.name in turn.tools:
            turn.notes.append(TWICE.format(item.name))
        turn.tools[item.name] = item.arguments
        if WORDS in _texts(item.arguments):
            turn.notes.append(MASKED)


def _last(turns: list[Turn]) -> Turn:
    if not turns:
        turns.append(Turn(WORDS, notes=[NOBODY_SPOKE]))
    return turns[-1]


def _texts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    return [value]
