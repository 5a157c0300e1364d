"""resources.yaml: what flows share by name. Calendars, HTTP endpoints, destinations, groups, prompts and mailboxes;
secrets only by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flows.calendars import Calendar
from flows.dialling import NAMED, NUMBERS, Dialling
from flows.draft import Draft
from flows.hours import known_keys, read_calendar
from flows.mailboxes import Mailbox, read_mailbox
from flows.problems import MistakeError, Where
from flows.reader import Map, Seq
from flows.targets import GROUP, NUMBER, mistake_in
from flows.values import read_duration

_NAME_OF_SECRET = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KINDS = ("calendars", "endpoints", "destinations", "groups", "prompts", "dialling", "mailboxes")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An HTTP endpoint. A header is text, or ``{"secret": NAME}``; ``timeout`` is in seconds."""

    name: str
    base_url: str
    headers: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    timeout: float = 5.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Somebody to ring, such as ``pjsip:front-desk`` or ``tel:+14155550100``."""

    name: str
    target: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something to say (``text``) or to play (``path``, ``content``)."""

    name: str
    text: str | None = None
    path: Path | None = None
    content: bytes = field(default=b"", repr=False, compare=False)  # of the file, as it was when it was loaded


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that flows can name."""

    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    destinations: Mapping[str, Destination] = field(default_factory=dict)
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # name -> targets, numbers, destinations
    dialling: Dialling = field(default_factory=Dialling)
    mailboxes: Mapping[str, Mailbox] = field(default_factory=dict)


def read_resources(tree: Any, draft: Draft) -> Resources:
    """The resources of one file; what is wrong is in the draft, and what cannot be used is left out."""
    if not isinstance(tree, Map):
        if tree is not None:
            draft.report(Where(str(draft.file), 1, 1), "E203", "resources.yaml must be a mapping")
        return Resources()
    known_keys(tree, _KINDS, draft)
    return Resources(
        calendars=_each(tree, "calendars", draft, read_calendar),
        endpoints=_each(tree, "endpoints", draft, _endpoint),
        destinations=_each(tree, "destinations", draft, _destination),
        prompts=_each(tree, "prompts", draft, _prompt),
        groups=_each(tree, "groups", draft, _group),
        dialling=_dialling(tree, draft),
        mailboxes=_each(tree, "mailboxes", draft, partial(read_mailbox, prompt=_prompt)),
    )


def _each(tree: Map, kind: str, draft: Draft, read: Callable[[str, Any, Where, Draft], T | None]) -> dict[str, T]:
    given = tree.get(kind)
    if not isinstance(given, Map):
        if given is not None:
            draft.report(tree.value_at[kind], "E203", f"'{kind}' must be a mapping from name to what it is")
        return {}
    found: dict[str, T] = {}
    for name, value in given.items():
        made = read(name, value, given.value_at[name], draft)
        if made is not None:
            found[name] = made
    return found


def _endpoint(name: str, given: Any, where: Where, draft: Draft) -> Endpoint | None:
    if not isinstance(given, Map) or "base_url" not in given:
        draft.report(where, "E202", f"endpoint '{name}' needs a 'base_url'")
        return None
    known_keys(given, ("base_url", "headers", "timeout", "note"), draft)
    url = str(given["base_url"])
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        message = "a base_url is http:// or https:// with a host and perhaps a path, and never holds a password"
        draft.report(given.value_at["base_url"], "E203", message)
    timeout = 5.0
    if "timeout" in given:
        try:
            timeout = read_duration(given["timeout"], draft)
        except MistakeError as mistake:
            draft.report(given.value_at["timeout"], mistake.code, mistake.message)
    return Endpoint(name, url.rstrip("/"), _headers(given, draft), timeout)


def _headers(given: Map, draft: Draft) -> dict[str, str | Mapping[str, str]]:
    headers = given.get("headers", {})
    if not isinstance(headers, Map):
        if "headers" in given:
            draft.report(given.value_at["headers"], "E203", "'headers' must be a mapping")
        return {}
    found: dict[str, str | Mapping[str, str]] = {}
    for name, value in headers.items():
        secret = value.get("secret") if isinstance(value, Map) else None
        if isinstance(value, Map) and (set(value) != {"secret"} or not _NAME_OF_SECRET.fullmatch(str(secret))):
            message = "a header is a text or {secret: NAME}, the name of an environment variable"
            draft.report(headers.value_at[name], "E203", message)
        elif isinstance(value, Map):
            found[name] = {"secret": str(secret)}
        elif isinstance(value, str):
            found[name] = str(value)
        else:
            draft.report(headers.value_at[name], "E203", "a header is a text; put it in quotes")
    return found


def _destination(name: str, given: Any, where: Where, draft: Draft) -> Destination | None:
    target = given.get("target") if isinstance(given, Map) else given
    if isinstance(given, Map):
        known_keys(given, ("target", "note"), draft)
        where = given.value_at.get("target", where)
    if not isinstance(target, str) or ":" not in target:
        draft.report(
            where, "E203", f'destination \'{name}\' needs a target, such as "pjsip:front-desk" or "tel:+14155550100"'
        )
        return None
    if mistake := mistake_in(target):
        draft.report(where, "E203", mistake)
    return Destination(name, str(target))


def _group(name: str, given: Any, where: Where, draft: Draft) -> tuple[str, ...] | None:
    if not isinstance(given, Seq) or not given or not all(isinstance(member, str) for member in given):
        message = f"group '{name}' is a list of destinations, targets such as \"pjsip:desk\" and quoted numbers"
        draft.report(where, "E203", message)
        return None
    for index, member in enumerate(given):
        _member(name, member, given.value_at[index], draft)
    return tuple(str(member) for member in given)


def _member(group: str, member: str, where: Where, draft: Draft) -> None:
    """Somebody to ring, or the name of a destination: one wrong member would leave all others unreached."""
    if member.startswith(GROUP):
        whom = "itself" if member.removeprefix(GROUP) == group else f"'{member.removeprefix(GROUP)}'"
        draft.report(where, "E203", f"a group holds no groups, and '{group}' would hold {whom}: list the members here")
    elif ":" in member:
        if mistake := mistake_in(member):
            draft.report(where, "E203", mistake)
    elif not NUMBER.fullmatch(member):
        draft.refer("destination", str(member), where)


def _dialling(tree: Map, draft: Draft) -> Dialling:
    """The rules; a mistake in them allows no number at all, for nothing is loaded then."""
    given = tree.get("dialling", Map(tree.where))
    if not isinstance(given, Map):
        draft.report(tree.value_at["dialling"], "E203", "'dialling' is a mapping with 'allow' and 'deny'")
        return Dialling(allow=())
    known_keys(given, ("allow", "deny", "note"), draft)
    rules: dict[str, tuple[str, ...]] = {}
    for key in ("allow", "deny"):
        if key not in given:
            continue
        patterns, able = given[key], NAMED if key == "allow" else NUMBERS
        known = isinstance(patterns, Seq) and all(isinstance(one, str) and able.fullmatch(one) for one in patterns)
        if not known:
            message = f"'{key}' is a list of quoted numbers or beginnings, such as \"+1415*\""
            draft.report(given.value_at[key], "E203", message)
            continue
        rules[key] = tuple(map(str, patterns))
    return Dialling(**rules)


def _prompt(name: str, given: Any, where: Where, draft: Draft) -> Prompt | None:
    if isinstance(given, str):
        return Prompt(name, text=str(given))
    if not isinstance(given, Map) or ("text" in given) == ("file" in given):
        draft.report(where, "E202", f"prompt '{name}' needs either a 'text' or a 'file'")
        return None
    known_keys(given, ("text", "file", "note"), draft)
    if "text" in given:
        return Prompt(name, text=str(given["text"]))
    try:
        path, content = draft.load(str(given["file"]), given.value_at["file"])
    except MistakeError as mistake:
        draft.report(mistake.where, mistake.code, mistake.message)
        return None
    return Prompt(name, path=path, content=content)
