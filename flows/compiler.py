"""Reading one flow: its head (variables, defaults, handlers) and its steps, then its expressions, when all names
are known."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from flows.accounts import read_account
from flows.calendars import Calendar
from flows.expressions import CONTEXT, TYPES, Names
from flows.flow import HANDLER_EVENTS, Flow, Handler, Step, Variable, walk
from flows.json_schema import plain
from flows.problems import NOWHERE, MistakeError, Problem, Where, did_you_mean, has
from flows.reader import Map, Seq, where_of
from flows.steps import StepReader
from flows.values import RESERVED, read_duration, read_identifier
from flows.verb import Verb

FLOW_KEYS = (
    "flow", "version", "description", "note", "vars", "input", "defaults", "limits", "handlers", "steps", "sections",
    "recover",
)  # fmt: skip
LIMITS = ("cost",)
_VARIABLE_KEYS = ("type", "default", "sensitive", "description")
FLOW_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
SAYABLE = RESERVED - {"true", "false", "null"}
"""Names that are refused for the sake of other YAML tools alone."""
_DIGITS = re.compile(r"[0-9*#A-D]+")
_PYTHON = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "array": list}


@dataclass(slots=True)
class FlowReader:
    """Reads one flow's tree. `read` takes it apart, `finish` compiles what had to wait for the whole library."""

    tree: Map
    file: Path
    content: bytes
    reader: StepReader
    flow: Flow | None = None
    section_at: dict[str, Where] = field(default_factory=dict)
    text_model_at: Where = NOWHERE
    problems: list[Problem] = field(default_factory=list)

    @classmethod
    def of(cls, tree: Map, file: Path, content: bytes, root: Path, verbs: Mapping[str, Verb]) -> FlowReader:
        """A reader for one file's tree."""
        return cls(tree, file, content, StepReader(file, root, verbs))

    def read(self) -> Flow:
        """The flow as far as it can be read. Problems are gathered, not raised."""
        tree, reader = self.tree, self.reader
        for key in tree:
            if key not in FLOW_KEYS:
                near = did_you_mean(key, FLOW_KEYS) or has(FLOW_KEYS)
                self._report(tree.key_at[key], "E201", f"unknown key '{key}'{near}")
        name = self._name()
        variables, inputs = self._variables("vars"), self._variables("input")
        defaults, max_call = self._defaults()
        reader.defaults = defaults
        steps = reader.read(tree["steps"], tree.value_at["steps"]) if "steps" in tree else self._no_steps()
        sections = self._sections()
        handlers = self._handlers()
        lists = (steps, *sections.values(), *(handler.steps or () for handler in handlers))
        self.flow = Flow(
            name=name,
            version=self._version(),
            revision=self.revision(),
            file=str(self.file),
            vars=variables,
            input=inputs,
            defaults={verb: plain(value) for verb, value in defaults.items()},
            max_call=max_call,
            handlers=handlers,
            steps=steps,
            sections=sections,
            recover=self._recover(),
            description=str(tree.get("description") or ""),
            ids={step.id: step for steps in lists for step in walk(steps) if step.id},
            account=self._account(),
            text_model=self._text_model(),
            max_cost=self._max_cost(),
        )
        return self.flow

    def names(self, calendars: Mapping[str, Calendar]) -> Names:
        """Every name that this flow's expressions may use."""
        assert self.flow is not None
        declared = dict(CONTEXT)
        declared |= {f"vars.{name}": variable.type for name, variable in self.flow.vars.items()}
        declared |= {f"input.{name}": variable.type for name, variable in self.flow.input.items()}
        declared |= self.reader.saved
        return Names({name: kind for name, kind in declared.items() if not self._unsayable(name)}, calendars)

    def compile_expressions(self, calendars: Mapping[str, Calendar]) -> None:
        """Compile every expression of the flow."""
        names = self.names(calendars)
        unsayable = [re.escape(name) for name in self.reader.misnamed if self._unsayable(name)]
        hopeless = re.compile(rf"(?<![\w.])({'|'.join(unsayable)})") if unsayable else None
        for expression, local in self.reader.draft.expressions:
            if hopeless is None or not hopeless.search(expression.source):
                self.problems += expression.compile(names.within(local))

    def _unsayable(self, name: str) -> bool:
        """Whether no expression can name it: a variable or a step that must be called otherwise."""
        wrong = (one for one in self.reader.misnamed if one.partition(".")[2].lower() not in SAYABLE)
        return any(name == one or name.startswith(f"{one}.") for one in wrong)

    @property
    def handlers_are_whole(self) -> bool:
        """Whether every handler that is written down could be read."""
        assert self.flow is not None
        given = self.tree.get("handlers")
        return given is None or (isinstance(given, Seq) and len(given) == len(self.flow.handlers))

    def revision(self) -> str:
        """A hash of the flow's file and of every file that it names."""
        digest = hashlib.sha256(self.content)
        for name, content in sorted(self.reader.draft.files.items()):
            digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(content).digest())
        return digest.hexdigest()[:16]

    def _report(self, where: Where, code: str, message: str) -> None:
        self.problems.append(Problem.at(where, code, message))

    def _mistake(self, mistake: MistakeError, where: Where) -> None:
        self._report(where, mistake.code, mistake.message)

    def _name(self) -> str:
        name = self.tree.get("flow")
        if not isinstance(name, str) or not FLOW_NAME.fullmatch(name):
            where = self.tree.value_at.get("flow", self.tree.where)
            self._report(where, "E202" if name is None else "E203", "a flow needs a name, such as 'flow: bella/orders'")
            return str(self.file)
        return str(name)

    def _version(self) -> int:
        version = self.tree.get("version", 1)
        if not isinstance(version, int) or isinstance(version, bool) or version < 1:
            self._report(self.tree.value_at["version"], "E203", "'version' is a whole number from 1")
            return 1
        return version

    def _no_steps(self) -> tuple[Step, ...]:
        self._report(self.tree.where, "E202", "a flow needs 'steps'")
        return ()

    def _mapping(self, key: str) -> Map:
        value = self.tree.get(key)
        if isinstance(value, Map):
            return value
        if value is not None:
            self._report(self.tree.value_at[key], "E203", f"'{key}' must be a mapping")
        return Map(self.tree.where, key)

    def _variables(self, key: str) -> dict[str, Variable]:
        given = self._mapping(key)
        found: dict[str, Variable] = {}
        for name, value in given.items():
            try:
                read_identifier(name, "a variable")
            except MistakeError as mistake:
                self._mistake(mistake, given.key_at[name])
                self.reader.misnamed.add(f"{key}.{name}")  # its uses are not told on top of it
            found[name] = self._variable(name, value, given.value_at[name], key)
        return found

    def _variable(self, name: str, value: Any, where: Where, key: str) -> Variable:
        if not isinstance(value, Map):
            hint = f"{{type: {value}}}" if isinstance(value, str) and value in TYPES else "{type: string}"
            self._report(where, "E203", f"declare it with its type: {name}: {hint}")
            return Variable("any")
        for part in value:
            if part not in _VARIABLE_KEYS:
                near = did_you_mean(part, _VARIABLE_KEYS) or has(_VARIABLE_KEYS)
                self._report(value.key_at[part], "E201", f"unknown key '{part}'{near}")
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in TYPES:
            message = "it needs a type" if kind is None else f"{kind!r} is not a type{did_you_mean(str(kind), TYPES)}"
            self._report(value.value_at.get("type", where), "E203", f"{message}{has(TYPES)}")
            kind = "any"
        default = plain(value.get("default"))
        python: Any = _PYTHON.get(kind)
        if default is not None and python is not None:
            if not isinstance(default, python) or (isinstance(default, bool) and kind != "boolean"):
                self._report(value.value_at["default"], "E203", f"the default of '{name}' must be {kind}")
            elif kind == "number":
                default = float(default)
        sensitive = value.get("sensitive", False)
        if not isinstance(sensitive, bool):
            self._report(value.value_at["sensitive"], "E203", "'sensitive' must be true or false")
        required = key == "input" and "default" not in value
        return Variable(str(kind), default, sensitive is True, str(value.get("description") or ""), required)

    def _defaults(self) -> tuple[dict[str, Map], float | None]:
        """Defaults for each verb's fields, and ``max_call``."""
        given = self._mapping("defaults")
        defaults: dict[str, Map] = {}
        max_call: float | None = None
        for key, value in given.items():
            if key == "max_call":
                try:
                    max_call = read_duration(value, self.reader.draft)
                except MistakeError as mistake:
                    self._mistake(mistake, given.value_at[key])
            elif key in ("text_model", "account"):
                pass  # read by `_text_model` and `read_account`
            elif key not in self.reader.verbs:
                near = did_you_mean(key, [*self.reader.verbs, "max_call", "text_model", "account"])
                self._report(given.key_at[key], "E205", f"unknown verb '{key}' in defaults{near}")
            elif not isinstance(value, Map):
                self._report(given.value_at[key], "E203", f"the defaults of '{key}' must be a mapping of its fields")
            else:
                defaults[key] = self._known_defaults(key, value)
        return defaults, max_call

    def _account(self) -> str | None:
        given = self.tree.get("defaults")
        return read_account(given, self.reader.draft) if isinstance(given, Map) else None

    def _text_model(self) -> str | None:
        """The provider that writes for this flow, when it names one."""
        given = self.tree.get("defaults")
        if not isinstance(given, Map) or "text_model" not in given:
            return None
        name, self.text_model_at = given["text_model"], given.value_at["text_model"]
        if not isinstance(name, str) or not name:
            self._report(self.text_model_at, "E203", "'text_model' is the name of a provider, such as openai")
            return None
        return str(name)

    def _max_cost(self) -> Decimal | None:
        """What a call may cost (``limits``)."""
        given = self._mapping("limits")
        for key in given:
            if key not in LIMITS:
                near = did_you_mean(key, LIMITS) or has(LIMITS)
                hint = "; it stands in 'defaults'" if key == "max_call" else near
                self._report(given.key_at[key], "E201", f"unknown key '{key}'{hint}")
        value = given.get("cost")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            message = "'cost' is an amount above 0, such as 0.50, in the currency in which the engine counts"
            self._report(given.value_at["cost"], "E203", message)
            return None
        return Decimal(str(value))

    def _known_defaults(self, verb: str, value: Map) -> Map:
        """Defaults whose keys the verb has; the others are reported here, once, and not again at every step."""
        fields = self.reader.verbs[verb].Fields.model_fields
        known = {info.alias or name for name, info in fields.items()}
        kept = Map(value.where, value.path)
        for key, item in value.items():
            if key in known:
                kept.put(key, item, value.key_at[key], value.value_at[key])
            else:
                self._report(value.key_at[key], "E201", f"unknown key '{key}'{did_you_mean(key, known) or has(known)}")
        return kept

    def _sections(self) -> dict[str, tuple[Step, ...]]:
        given = self._mapping("sections")
        sections: dict[str, tuple[Step, ...]] = {}
        for name, value in given.items():
            try:
                read_identifier(name, "a section")
            except MistakeError as mistake:
                self._mistake(mistake, given.key_at[name])
                self.reader.misnamed.add(f"sections.{name}")
            self.section_at[name] = given.key_at[name]
            sections[name] = self.reader.read(value, given.value_at[name])
            if isinstance(value, Seq) and not value:
                self._report(given.value_at[name], "E203", f"section '{name}' has no steps")
        return sections

    def _recover(self) -> str | None:
        value = self.tree.get("recover")
        if value is None:
            return None
        where = self.tree.value_at["recover"]
        self.reader.draft.refer("section", str(value), where)
        return str(value)

    def _handlers(self) -> tuple[Handler, ...]:
        given = self.tree.get("handlers")
        if given is None:
            return ()
        if not isinstance(given, Seq):
            self._report(self.tree.value_at["handlers"], "E203", "'handlers' must be a list, each with an 'event'")
            return ()
        handlers: dict[tuple[str, str | None], Handler] = {}
        for index, value in enumerate(given):
            handler = self._handler(value, given.value_at[index])
            if handler is None:
                continue
            key = (handler.event, handler.digits)
            if key in handlers:
                first = handlers[key].where.line
                self._report(
                    handler.where, "E307", f"the event has a handler already (line {first}); the first one wins"
                )
            handlers.setdefault(key, handler)
        return tuple(handlers.values())

    def _handler(self, value: Any, where: Where) -> Handler | None:
        if not isinstance(value, Map):
            self._report(where, "E203", "a handler is a mapping, such as {event: error, goto: counter}")
            return None
        keys = ("event", "digits", "goto", "steps", "note")
        for key in value:
            if key not in keys:
                self._report(value.key_at[key], "E201", f"unknown key '{key}'{did_you_mean(key, keys) or has(keys)}")
        event = value.get("event")
        if event not in HANDLER_EVENTS:
            near = did_you_mean(str(event), HANDLER_EVENTS) or has(HANDLER_EVENTS)
            message = f"unknown event '{event}'{near}" if event is not None else f"a handler needs an 'event'{near}"
            self._report(value.value_at.get("event", where), "E203", message)
            event = None
        digits = str(value["digits"]) if value.get("digits") is not None else None
        if event is None:
            pass  # who knows whether it has digits
        elif (event == "dtmf") != (digits is not None):
            message = "a dtmf handler needs 'digits'" if event == "dtmf" else f"'digits' do not belong to '{event}'"
            self._report(value.key_at.get("digits", where), "E202" if event == "dtmf" else "E201", message)
        elif digits is not None and not _DIGITS.fullmatch(digits):
            self._report(value.value_at["digits"], "E203", f"'{digits}' are not telephone keys; use 0-9, *, # and A-D")
        if is_vague := ("goto" in value) == ("steps" in value):
            self._report(where, "E202", "a handler needs either 'goto' or 'steps'")
        goto = None
        if "goto" in value:
            goto = str(value["goto"])
            self.reader.draft.refer("section", goto, where_of(value["goto"], value.value_at["goto"]))
        steps = self.reader.read(value["steps"], value.value_at["steps"]) if "steps" in value else None
        if event is None or is_vague:
            self.reader.broken = True
            return None
        return Handler(event, digits, steps, goto, where)
