"""Reading steps: from located YAML to `Step` objects whose fields are validated and whose expressions wait to be
compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.draft import Draft
from flows.expressions import TYPES
from flows.flow import Retry, Step
from flows.mending import Mended, read_fields
from flows.mistakes import merged
from flows.problems import MistakeError, Where, did_you_mean, has
from flows.reader import Map, Seq
from flows.texts import Condition
from flows.values import read_duration, read_identifier
from flows.verb import Fields, Outcomes, Verb

COMMON_KEYS = ("id", "when", "outcomes", "save", "timeout", "retry", "catch", "note", "disabled")
"""The keys that every step may have beside its verb."""
MOST_RETRIES = 10


@dataclass(slots=True)
class StepReader:
    """Reads the steps of one flow and notes what it learns on the way: ids, the types that steps save, fields as
    written."""

    file: Path
    root: Path
    verbs: Mapping[str, Verb]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    draft: Draft = field(init=False)
    ids: dict[str, Where] = field(default_factory=dict)
    saved: dict[str, str] = field(default_factory=dict)  # dotted name -> type
    given: dict[str, Map] = field(default_factory=dict)  # path of a step -> its verb's fields as written
    mended: dict[str, Mended] = field(default_factory=dict)  # path of a step of which something is wrong
    saves: dict[str, Map] = field(default_factory=dict)  # path of a step -> its `save` as written
    misnamed: set[str] = field(default_factory=set)  # vars.NAME, input.NAME, steps.NAME and sections.NAME to rename
    broken: bool = False  # a step could not be read: what follows from the whole would mislead
    _nested: list[dict[Where, tuple[Step, ...]]] = field(default_factory=list)
    _inside: dict[Where, tuple[Step, ...]] = field(default_factory=dict)  # lists inside of fields, by their place

    def __post_init__(self) -> None:
        self.draft = Draft(self.file, self.root, self._read_nested)

    def read(self, value: Any, where: Where) -> tuple[Step, ...]:
        """A list of steps."""
        if not isinstance(value, Seq):
            self.draft.report(where, "E203", "this must be a list of steps, each starting with '- '")
            self.broken = True
            return ()
        steps = (self._step(item, value.value_at[index]) for index, item in enumerate(value))
        return tuple(step for step in steps if step is not None)

    def _read_nested(self, value: Seq) -> tuple[Step, ...]:
        """Steps inside a verb's fields: once, however often the fields are read until they are mended."""
        if self.draft.mending is None or value.where not in self._inside:
            self._inside[value.where] = self.read(value, value.where)
        if self._nested:
            self._nested[-1][value.where] = self._inside[value.where]
        return self._inside[value.where]

    def _step(self, item: Any, where: Where) -> Step | None:
        name = self._verb_name(item, where)
        if name is None:
            self.broken = True
            self._note_id(item)
            return None
        verb, at = self.verbs[name], item.key_at[name]
        id_ = self._note_id(item)
        self._nested.append({})
        fields = self._fields(verb, item, name)
        nested = tuple(self._nested.pop().values())
        mended = self.mended.get(item.path)
        if not isinstance(item.get("note", ""), str):
            self.draft.report(item.value_at["note"], "E203", "'note' is a text for people")
        possible, outcomes = self._ways(item, verb, fields, mended)
        when, save = self._when(item), self._save(item, id_, verb)
        timeout, retry = self._duration(item, "timeout"), self._retry(item)
        catch = self.read(item["catch"], item.value_at["catch"]) if "catch" in item else None
        disabled = self._flag(item, "disabled")
        if id_:
            self._note_saved(id_, verb, fields, save, mended)
        if fields is None:
            return None
        return Step(
            id_, item.path, verb, fields, possible, outcomes, when, save, timeout, retry, catch, disabled, nested, at
        )

    def _note_saved(
        self, id_: str, verb: Verb, fields: Fields | None, save: dict[str, str], mended: Mended | None
    ) -> None:
        """What ``steps.<id>`` holds; anything, when a mistake keeps that from being known."""
        types: Mapping[str, str] = {}
        if fields is not None:
            types, sure = (verb.saves(fields), True) if mended is None else mended.sure(verb.saves, fields)
        if fields is None or not sure:
            self.saved[f"steps.{id_}"] = "any"
            return
        types = {"outcome": "string", **types, **save}
        self.saved.update({f"steps.{id_}.{saved}": kind for saved, kind in types.items()})

    def _ways(
        self, item: Map, verb: Verb, fields: Fields | None, mended: Mended | None
    ) -> tuple[Outcomes, dict[str, tuple[Step, ...]]]:
        """How the step can end, as far as that is known, and what it does then."""
        if fields is None:
            return Outcomes(), self._lists(item, "outcomes")
        if mended is None:
            possible = verb.outcomes(fields)
            return possible, self._outcomes(item, verb, possible)
        possible, sure = mended.sure(verb.outcomes, fields)
        return possible if sure else Outcomes(), self._outcomes(item, verb, possible, sure, mended.names)

    def _verb_name(self, item: Any, where: Where) -> str | None:
        """The one verb of a step, after reporting every key that is neither a verb nor common."""
        if not isinstance(item, Map):
            hint = f"; write '{item}: {{}}'" if isinstance(item, str) and item in self.verbs else ""
            self.draft.report(where, "E204", f"a step is a mapping with one verb{hint}")
            return None
        names = [key for key in item if key in self.verbs]
        unknown = [key for key in item if key not in self.verbs and key not in COMMON_KEYS]
        if not names:
            if not unknown:
                self.draft.report(where, "E204", "this step has no verb")
            for key in unknown:
                near = did_you_mean(key, [*self.verbs, *COMMON_KEYS])
                self.draft.report(item.key_at[key], "E205", f"unknown verb '{key}'{near}")
            return None
        for key in unknown:
            inside = [name for name in names if key in self.verbs[name].Fields.model_fields]
            near = did_you_mean(key, COMMON_KEYS) or did_you_mean(key, self.verbs)
            hint = f" beside '{inside[0]}'; it belongs inside of '{inside[0]}'" if inside else near
            self.draft.report(item.key_at[key], "E201", f"unknown key '{key}'{hint}")
        for second in names[1:]:
            message = f"a step has one verb, and this one has '{names[0]}' already; start a new step with '- '"
            self.draft.report(item.key_at[second], "E204", message)
        return names[0]

    def _fields(self, verb: Verb, item: Map, name: str) -> Fields | None:
        value, where = item[name], item.value_at[name]
        given: Map
        if isinstance(value, Map):
            given = value
        else:
            given = Map(where, f"{item.path}/{name}")
            if verb.shorthand is not None and value is not None:
                given.put(verb.shorthand, value, item.key_at[name], where)
            elif value is not None:
                self.draft.report(where, "E203", f"'{name}' takes a mapping of fields; write '{name}: {{…}}'")
                self.broken = True
                return None
        given = merged(self.defaults.get(name), given)
        fields, rest, mended = read_fields(verb.Fields, given, self.draft, name, item.key_at[name])
        self.given[item.path] = rest
        if mended is not None:
            self.mended[item.path] = mended
            self.broken = True
        return fields

    def _outcomes(
        self, item: Map, verb: Verb, possible: Outcomes, sure: bool = True, unread: frozenset[str] = frozenset()
    ) -> dict[str, tuple[Step, ...]]:
        """Steps by outcome. Where others may be possible (not ``sure``), only what is plainly misspelt is told;
        ``unread`` are names that the verb may know."""
        known = {*possible.names, *([possible.any_bad] if possible.any_bad else [])}
        word = getattr(verb, "outcome_word", "outcome")
        given = item.get("outcomes")
        if isinstance(given, Map):
            for name in given:
                if name == "done":
                    message = f"'done' is not handled: {verb.name} goes on with the next step"
                    self.draft.report(given.key_at[name], "E303", message)
                elif name not in {*known, *unread} and (sure or did_you_mean(name, known)):
                    message = f"{verb.name} has no {word} '{name}'{has(known)}"
                    self.draft.report(given.key_at[name], "E303", message)
        return self._lists(item, "outcomes")

    def _lists(self, item: Map, key: str) -> dict[str, tuple[Step, ...]]:
        """The step lists under ``outcomes`` (or ``catch``, as one list)."""
        value = item.get(key)
        if value is None:
            if key in item:
                self.draft.report(item.key_at[key], "E203", f"'{key}' is empty")
            return {}
        if key == "catch":
            return {"catch": self.read(value, item.value_at[key])}
        if not isinstance(value, Map):
            self.draft.report(item.value_at[key], "E203", "outcomes are a mapping from outcome to steps")
            return {}
        return {name: self.read(steps, value.value_at[name]) for name, steps in value.items()}

    def _note_id(self, item: Any) -> str | None:
        if not isinstance(item, Map) or "id" not in item:
            return None
        try:
            name = read_identifier(item["id"], "an id")
        except MistakeError as mistake:
            self.draft.report(item.value_at["id"], mistake.code, mistake.message)
            if not isinstance(item["id"], str):
                return None
            name = item["id"]
            self.misnamed.add(f"steps.{name}")
        if name in self.ids:
            message = f"id '{name}' is taken already (line {self.ids[name].line})"
            self.draft.report(item.value_at["id"], "E307", message)
        self.ids.setdefault(name, item.value_at["id"])
        self.saved.setdefault(f"steps.{name}.outcome", "string")
        return name

    def _when(self, item: Map) -> Condition | None:
        if "when" not in item:
            return None
        try:
            return Condition.read(item["when"], self.draft)
        except MistakeError as mistake:
            self._report(mistake, item.value_at["when"])
            return None

    def _save(self, item: Map, id_: str | None, verb: Verb) -> dict[str, str]:
        given = item.get("save", {})
        if not isinstance(given, Map):
            if "save" in item:
                self.draft.report(
                    item.value_at["save"], "E203", "save is a mapping from name to type, such as {ref: string}"
                )
            return {}
        self.saves[item.path] = given
        if id_ is None:
            self.draft.report(
                item.key_at["save"], "E202", "'save' needs an 'id', so that steps.<id>.… can name what is saved"
            )
        elif given and not getattr(verb, "takes_save", False):
            message = f"'{verb.name}' has nothing to save: 'save' names what comes from outside"
            self.draft.report(item.key_at["save"], "E203", message)
        saved: dict[str, str] = {}
        for name, kind in given.items():
            if not isinstance(kind, str) or kind not in TYPES:
                message = f"{kind!r} is not a type{did_you_mean(str(kind), TYPES) or has(TYPES)}"
                self.draft.report(given.value_at[name], "E203", message)
                kind = "any"
            saved[name] = kind
        return saved

    def _retry(self, item: Map) -> Retry | None:
        if "retry" not in item:
            return None
        given = item["retry"]
        if not isinstance(given, Map):
            self._wrong_count(item.value_at["retry"])
            return None
        for key in given:
            if key not in ("max", "delay", "backoff"):
                near = did_you_mean(key, ("max", "delay", "backoff"))
                self.draft.report(
                    given.key_at[key], "E201", f"unknown key '{key}'{near or has(('max', 'delay', 'backoff'))}"
                )
        backoff = given.get("backoff", 1)
        if not isinstance(backoff, int | float) or isinstance(backoff, bool) or not 1 <= backoff <= 10:
            self.draft.report(given.value_at["backoff"], "E203", "backoff is a factor from 1 to 10")
            backoff = 1
        delay = self._duration(given, "delay") or 0.0
        most = given.get("max")
        if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most <= MOST_RETRIES:
            if most is not None or not any(did_you_mean(key, ("max",)) for key in given):
                self._wrong_count(item.value_at["retry"])
            return None
        return Retry(most, delay, float(backoff))

    def _wrong_count(self, where: Where) -> None:
        message = f"retry needs a count, such as {{max: 2, delay: 500ms}}; {MOST_RETRIES} at most"
        self.draft.report(where, "E203", message)

    def _duration(self, item: Map, key: str) -> float | None:
        if key not in item:
            return None
        try:
            return read_duration(item[key], self.draft)
        except MistakeError as mistake:
            self._report(mistake, item.value_at[key])
            return None

    def _flag(self, item: Map, key: str) -> bool:
        value = item.get(key, False)
        if not isinstance(value, bool):
            self.draft.report(item.value_at[key], "E203", f"'{key}' must be true or false")
            return False
        return value

    def _report(self, mistake: MistakeError, where: Where) -> None:
        known = mistake.where.file != "<flow>"
        self.draft.report(mistake.where if known else where, mistake.code, mistake.message)
