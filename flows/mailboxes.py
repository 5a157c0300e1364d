"""Mailboxes of resources.yaml: what is said before a message, how long it may be, and who is told of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flows.draft import Draft
from flows.hours import known_keys
from flows.problems import MistakeError, Where
from flows.reader import Map, Seq
from flows.targets import number_of
from flows.values import read_duration

if TYPE_CHECKING:
    from flows.resources import Prompt

BOX = re.compile(r"[A-Za-z0-9_-]{1,64}")
LONGEST = 1800.0  # seconds of a message: 14 MB in memory
RECIPIENT = "endpoint, group or destination"
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox. ``max`` is in seconds; ``notify`` names endpoints, numbers, destinations and ``group:NAME``."""

    name: str
    greeting: Prompt | None = None
    max: float | None = None
    notify: tuple[str, ...] = ()
    language: str | None = None  # of the greeting, BCP 47


def read_mailbox(
    name: str, given: Any, where: Where, draft: Draft, prompt: Callable[[str, Any, Where, Draft], Prompt | None]
) -> Mailbox | None:
    """One mailbox; ``prompt`` reads its greeting. What is wrong is in the draft."""
    if not BOX.fullmatch(name):
        draft.report(where, "E203", f"'{name}' is no mailbox: a name has 1 to 64 letters, digits, '_' and '-'")
    if given is None:
        return Mailbox(name)
    if not isinstance(given, Map):
        draft.report(where, "E203", f"mailbox '{name}' is a mapping: greeting, max, notify, language; or {{}}")
        return None
    known_keys(given, ("greeting", "max", "notify", "language", "note"), draft)
    greeting = None
    if "greeting" in given:
        greeting = prompt(f"greeting of {name}", given["greeting"], given.value_at["greeting"], draft)
    language = str(given["language"]) if "language" in given else None
    if language is not None and not _LANGUAGE.fullmatch(language):
        draft.report(given.value_at["language"], "E203", "a language is a BCP 47 tag, such as en-US")
    return Mailbox(name, greeting, _max(given, draft), _notified(given, draft), language)


def _max(given: Map, draft: Draft) -> float | None:
    if "max" not in given:
        return None
    try:
        seconds = read_duration(given["max"], draft)
    except MistakeError as mistake:
        draft.report(given.value_at["max"], mistake.code, mistake.message)
        return None
    if not 0 < seconds <= LONGEST:
        draft.report(given.value_at["max"], "E203", f"it must be more than nothing and {LONGEST / 60:.0f}m at most")
    return seconds


def _notified(given: Map, draft: Draft) -> tuple[str, ...]:
    if "notify" not in given:
        return ()
    names, where = given["notify"], given.value_at["notify"]
    places = names.value_at if isinstance(names, Seq) else [where]
    names = list(names) if isinstance(names, Seq) else [names]
    if not names or not all(isinstance(name, str) for name in names):
        message = "'notify' is a list of endpoints, quoted numbers, destinations and \"group:NAME\""
        draft.report(where, "E203", message)
        return ()
    for name, place in zip(names, places, strict=True):
        if number_of(name) is None:
            draft.refer(RECIPIENT, str(name), place)
    return tuple(map(str, names))
