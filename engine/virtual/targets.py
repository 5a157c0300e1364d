"""The table of targets: what becomes of a leg that is dialled, as a test says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from asterisk.targets import Targets as DialStrings
from asterisk.targets import invite_variables
from engine.line import DialOptions, DialStatus

Behaviour = Literal["answer", "no_answer", "busy", "declined", "unavailable", "failed", "impossible"]

ANSWERS_AFTER: Final = 3.0  # seconds, when the table says only that it answers

# After how many seconds a target refuses (None: it rings on and on), with which SIP status and Q.850 cause.
_REFUSALS: Final[Mapping[str, tuple[float | None, int | None, int | None]]] = {
    "no_answer": (None, 480, 19),
    "busy": (0.5, 486, 17),
    "declined": (4.0, 603, 21),
    "unavailable": (0.2, 404, 1),
    "failed": (1.0, 500, 38),
}


class TargetError(ValueError):
    """A table of targets says what cannot be; the text says where and what can."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target. ``after``: seconds from dialling to the answer or the refusal.

    ``hangs_up_after`` counts from the answer; ``keys_after`` is the time to the first of ``keys``, and between two.
    ``says`` is how they answer: a few words, or the long greeting of a machine.
    ``impossible`` is a target that cannot be dialled at all.
    """

    status: Behaviour = "answer"
    after: float | None = ANSWERS_AFTER
    sip_code: int | None = 200
    q850: int | None = None
    hangs_up_after: float | None = None
    keys: str = ""
    keys_after: float = 1.0
    says: str = ""

    @property
    def dial_status(self) -> DialStatus:
        """The outcome as the engine sees it."""
        return "answered" if self.status == "answer" else "failed" if self.status == "impossible" else self.status

    @classmethod
    def of(cls, value: object, name: str = "target") -> Target:
        """A target as tests write it. Raises `TargetError`.

        ``answer``, ``busy``, … or ``{answer: 9}`` (after so many seconds), ``{busy: 2, sip_code: 600}``,
        ``{answer: 9, keys: "1", hangs_up_after: 30}``.
        """
        if isinstance(value, Target):
            return value
        if isinstance(value, str):
            return cls._made(value, {}, name)
        if isinstance(value, Mapping):
            options = {str(key): item for key, item in value.items()}
            named = [key for key in options if key in ("answer", "impossible", *_REFUSALS)]
            if len(named) == 1:
                after = options.pop(named[0])
                return cls._made(named[0], {**({} if after is None else {"after": float(after)}), **options}, name)
        raise TargetError(f"{name}: say one of answer, impossible, {', '.join(_REFUSALS)}, or {{answer: 9, keys: '1'}}")

    @classmethod
    def _made(cls, status: str, options: Mapping[str, Any], name: str) -> Target:
        known = {field.name for field in fields(cls)} - {"status"}
        if wrong := set(options) - known:
            raise TargetError(f"{name}: unknown key {min(wrong)!r} (has: {', '.join(sorted(known))})")
        if status == "answer":
            return cls(**options)
        if status == "impossible":
            return cls("impossible", None, None, None)
        if status not in _REFUSALS:
            raise TargetError(f"{name}: unknown status {status!r} (has: answer, impossible, {', '.join(_REFUSALS)})")
        after, sip_code, q850 = _REFUSALS[status]
        return cls(status, **{"after": after, "sip_code": sip_code, "q850": q850, **options})  # type: ignore[arg-type]


class Targets:
    """All targets of a test. A list stands for one dialling after the other; its last entry goes on for ever."""

    def __init__(self, table: Mapping[str, object]) -> None:
        self._table: dict[str, list[Target]] = {}
        for name, value in table.items():
            several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            self._table[name] = [Target.of(item, name) for item in several]

    def dialled(self, name: str) -> Target | None:
        """What becomes of this dialling; None: the table does not know the target."""
        behaviours = self._table.get(name)
        if not behaviours:
            return None
        return behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]


def refuse(target: str, options: DialOptions, own_number: str) -> None:
    """Raises `LineError` for what a real line would refuse before it dials: what is no target, and what cannot stand in
    an INVITE."""
    DialStrings(trunk="trunk").endpoint(target)
    invite_variables(options, own_number)
