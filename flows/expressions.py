"""CEL behind one small door: the only module that imports cel-expr-python.

An expression is compiled twice when a flow is loaded. First against the declared types, for the sake of the author:
unknown names and types that do not fit are reported at the character where they stand. Then against untyped names, for
the run: a variable may still be null then, which CEL's own typed bindings refuse. Only names that an expression
mentions are handed over. One evaluation takes 5 to 10 µs, one compilation about 60 µs (measured); CEL bounds
iterations and recursion itself.

Specification: https://github.com/google/cel-spec. Whole numbers and fractions do not mix (``9.0 + 1`` is an error
there), so integral JSON numbers become integers at the boundary, and names declared ``number`` are always fractions.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext import ext_math, ext_optional, ext_strings  # type: ignore[import-untyped]

from flows import scan
from flows.calendars import Calendar
from flows.functions import FUNCTIONS, Function
from flows.moment import MOMENT, clock_functions
from flows.problems import NOWHERE, Where, did_you_mean, has
from flows.vocabulary import FUNCTIONS as GLOBAL
from flows.vocabulary import MACROS, MATH, METHODS, meant

MAX_SOURCE = 1000
MAX_MACROS = 3
MAX_RESULT = 65_536

TYPES = ("string", "integer", "number", "boolean", "object", "array", "timestamp", "any")
"""The types that a name can be declared with: JSON Schema's, ``timestamp``, and ``any`` for what is known only at
run time."""

CONTEXT: Mapping[str, str] = {
    "call.id": "string",
    "call.direction": "string",
    "call.trunk": "string",
    "call.did": "string",
    "call.headers": "object",
    "call.diversion": "array",
    "call.uui": "string",
    "call.attestation": "string",
    "call.verstat": "string",
    "call.started": "timestamp",
    "call.cost": "number",
    "caller.number": "string",
    "caller.name": "string",
    "caller.country": "string",
    "caller.anonymous": "boolean",
    "tenant": "object",
    "now": "timestamp",
}
"""The names that every flow may read."""

UNTYPED: Mapping[str, str] = {
    **dict.fromkeys(("vars", "steps", "input", "call", "caller", "tenant", "brief"), "any"),
    "now": "timestamp",
}
"""For expressions outside a flow: everything may be asked for, nothing is checked."""

_T = cel.Type
_MAP, _LIST, _ANY = _T.Map(_T.STRING, _T.DYN), _T.List(_T.DYN), _T("google.protobuf.Any")
_PLAIN = {
    "string": _T.STRING,
    "integer": _T.INT,
    "number": _T.DOUBLE,
    "boolean": _T.BOOL,
    "object": _MAP,
    "array": _LIST,
    "timestamp": _T.TIMESTAMP,
    "any": _T.DYN,
}
# Wrappers are CEL's nullable types: a variable that is not set yet is null.
_NULLABLE = {
    **_PLAIN,
    "string": _T("google.protobuf.StringValue"),
    "integer": _T("google.protobuf.Int64Value"),
    "number": _T("google.protobuf.DoubleValue"),
    "boolean": _T("google.protobuf.BoolValue"),
}
_OURS = {"STRING": "string", "INT": "integer", "UINT": "integer", "DOUBLE": "number", "BOOL": "boolean"} | {
    "TIMESTAMP": "timestamp",
    "string_wrapper": "string",
    "int_wrapper": "integer",
    "double_wrapper": "number",
    "bool_wrapper": "boolean",
}
_FAULT = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")
_SIGNS_OF_NULL = ("null", "not set yet", "SELECT", "jump_condition", "Unexpected value")


class ExpressionError(Exception):
    """An expression that failed while a call was running. Carries what to tell and where in the author's file it
    stands."""

    def __init__(self, message: str, where: Where = NOWHERE) -> None:
        super().__init__(f"{where}: {message}")
        self.message = message
        self.where = where


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at an offset of an expression's source."""

    offset: int
    code: str
    message: str
    is_macro: bool = False  # a macro is misspelt, so its variable is unknown, too


class FaultsError(Exception):
    """An expression that cannot be compiled, with everything that is wrong in it."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(fault.message for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class _Binding:
    name: str
    path: tuple[str, ...]
    kind: str


class Program:
    """A compiled expression. ``type`` is one of `TYPES`, ``any`` when only the call will tell."""

    __slots__ = ("_bindings", "_expression", "names", "type")

    def __init__(self, expression: Any, bindings: tuple[_Binding, ...], type_: str) -> None:
        self._expression = expression
        self._bindings = bindings
        self.type = type_
        self.names = tuple(binding.name for binding in bindings)

    def run(self, context: Mapping[str, Any], where: Where = NOWHERE) -> Any:
        """The value for this context (nested mappings: ``{"vars": {...}, ...}``). Raises `ExpressionError`."""
        data: dict[str, Any] = {}
        for binding in self._bindings:
            value: Any = context
            for key in binding.path:
                value = value.get(key) if isinstance(value, Mapping) else None
            data[binding.name] = _to_cel(value, binding.kind)
        token = MOMENT.set(context.get("now"))
        try:
            found = self._expression.eval(data=data)
            result = found.plain_value()
        except (RuntimeError, TypeError, ValueError) as error:
            raise ExpressionError(self._explain(str(error), data), where) from error
        finally:
            MOMENT.reset(token)
        if found.type() == _T.ERROR:
            raise ExpressionError(self._explain(str(result), data), where)
        if isinstance(result, str | list | dict) and len(result) > MAX_RESULT:
            raise ExpressionError(f"the result is larger than {MAX_RESULT:,}", where)
        return result

    def _explain(self, message: str, data: Mapping[str, Any]) -> str:
        message = re.sub(r"^[A-Z_]+: ", "", re.sub(r" \[[A-Z_]+\]$", "", message.strip()))
        if any(sign in message for sign in _SIGNS_OF_NULL):
            empty = [name for name, value in data.items() if value is None]
            if empty:
                return f"'{empty[0]}' has no value yet (default({empty[0]}, …) gives it one)"
        if key := re.search(r"Key not found in map : (.*)", message):
            return f"there is no key {key.group(1)} (write .?name.orValue(…) where it may be missing)"
        return _readable(message)


class Names:
    """The names that expressions of one flow may use, with their types, and the compiler for them.

    ``declared`` maps dotted names to types: ``{"vars.round": "integer", "steps.book.ref": "string", …}``.
    """

    def __init__(self, declared: Mapping[str, str], calendars: Mapping[str, Calendar] | None = None) -> None:
        self.declared = dict(declared)
        self._calendars = calendars
        self._functions = {function.name: function for function in (*FUNCTIONS, *clock_functions(calendars))}
        self._checking = _environment(self.declared, _NULLABLE, [_typed(f) for f in self._functions.values()])
        running = {name: kind if kind == "timestamp" else "any" for name, kind in self.declared.items()}
        self._running = _environment(running, _PLAIN, [_untyped(f) for f in self._functions.values()])
        self._inner: dict[frozenset[tuple[str, str]], Names] = {}

    def within(self, local: Mapping[str, str]) -> Names:
        """These names and some that only a part of a step sees (a tool's ``input``); they hide the flow's of the
        same root."""
        if not local:
            return self
        key = frozenset(local.items())
        if key not in self._inner:
            roots = {name.split(".")[0] for name in local}
            kept = {name: kind for name, kind in self.declared.items() if name.split(".")[0] not in roots}
            self._inner[key] = Names({**kept, **local}, self._calendars)
        return self._inner[key]

    def compile(self, source: str) -> Program:
        """Check and compile. Raises `FaultsError` with everything that is wrong in the expression."""
        if len(source) > MAX_SOURCE:
            raise FaultsError(
                [Fault(0, "E304", f"the expression has {len(source)} characters; the limit is {MAX_SOURCE}")]
            )
        if scan.macro_depth(source) > MAX_MACROS:
            raise FaultsError([Fault(0, "E304", f"map, filter, all and exists may be nested {MAX_MACROS} deep")])
        found = list(scan.chains(source))
        faults = self._literal_faults(source)
        kind = "any"
        try:
            kind = self._checking.compile(source).return_type().name()
        except RuntimeError as error:
            faults += self._faults(source, str(error), found)
        if kind.startswith("optional_type"):
            faults.append(Fault(0, "E301", "'.?' gives an optional; end with .orValue(…)"))
        faults += _has_faults(source, found, self.declared)
        if faults:
            raise FaultsError(sorted(faults, key=lambda fault: fault.offset))
        try:
            expression = self._running.compile(source)
        except RuntimeError as error:
            raise FaultsError(self._faults(source, str(error), found)) from error
        return Program(expression, self._bindings(found), _our_type(kind))

    def _bindings(self, found: Iterable[scan.Chain]) -> tuple[_Binding, ...]:
        bindings = {}
        for chain in found:
            for size in range(len(chain.parts), 0, -1):
                name = ".".join(chain.parts[:size])
                if name in self.declared:
                    bindings[name] = _Binding(name, chain.parts[:size], self.declared[name])
                    break
        return tuple(bindings.values())

    def _literal_faults(self, source: str) -> list[Fault]:
        """Calendars named in ``is_open('…')`` and ``next_open('…')`` must exist."""
        if self._calendars is None:
            return []
        known = self._calendars
        return [
            Fault(offset, "E302", f"unknown calendar '{name}'{did_you_mean(name, known) or has(known)}")
            for _, name, offset in scan.first_arguments(source, frozenset({"is_open", "next_open"}))
            if name not in known
        ]

    def _faults(self, source: str, report: str, found: list[scan.Chain]) -> list[Fault]:
        """CEL's report in our words and at our offsets: a name is reported where it begins."""
        starts = [0, *(match.end() for match in re.finditer("\n", source))]
        faults: dict[int, Fault] = {}
        for line, column, message in _FAULT.findall(report):
            offset = min(starts[min(int(line), len(starts)) - 1] + int(column) - 1, max(len(source) - 1, 0))
            chain = next((chain for chain in found if chain.start <= offset <= chain.end), None)
            fault = self._fault(message, offset, chain, source)
            known = faults.get(fault.offset)
            if known is None or (known.message.startswith("unknown function") and "variable" in fault.message):
                faults[fault.offset] = fault
        if not faults and "recursion limit" in report:
            return [Fault(0, "E304", "the expression is nested too deep: keep a part of it in a variable (set)")]
        if not faults:
            return [Fault(0, "E304", _readable(report.splitlines()[0] if report else "not an expression"))]
        if any(fault.is_macro for fault in faults.values()):
            faults = {at: one for at, one in faults.items() if not re.match(r"unknown variable '\w+'", one.message)}
        broken = [fault for fault in faults.values() if fault.code == "E304"]
        return broken[:1] or list(faults.values())

    def _fault(self, message: str, offset: int, chain: scan.Chain | None, source: str) -> Fault:
        if undeclared := re.match(r"undeclared reference to '(.*?)'", message):
            name = undeclared.group(1)
            if chain is not None and chain.called and chain.parts[0] == "math":
                return self._unknown_function(chain.parts[-1], chain.end - len(chain.parts[-1]), MATH)
            if chain is None and source.startswith("(", offset) and source[:offset].endswith(name):
                return self._unknown_function(name, offset - len(name), (*METHODS, *MACROS))  # of a result
            return self._unknown(name, offset, chain)
        if message.startswith("Syntax error") or "token recognition" in message:
            return Fault(
                offset,
                "E304",
                "not an expression: " + re.sub(r" expecting \{.*", "", message.removeprefix("Syntax error: ")),
            )
        if "for '_" not in message and chain is not None and chain.called:
            offset = chain.start
        return Fault(offset, "E301", _readable(message) + _type_hint(message))

    def _unknown_function(self, name: str, start: int, here: Collection[str]) -> Fault:
        """``here`` are the names that are right where it stands: alone, behind a dot, or behind ``math.``."""
        if name in here:
            return Fault(start, "E301", f"{name}() is called with the wrong number of values")
        near = meant(name, self._functions)
        hint = f" (did you mean '{near}'?)" if near else ""
        if near == name:
            hint = f"; write VALUE.{name}(…)" if name in METHODS else f"; write {name}(VALUE)"
        return Fault(start, "E301", f"unknown function '{name}'{hint}", near in MACROS)

    def _unknown(self, name: str, offset: int, chain: scan.Chain | None) -> Fault:
        start = chain.start if chain else offset
        if chain is not None and chain.called and name == chain.parts[-1] and offset >= chain.end:
            start = chain.end - len(name)
            if name in self._functions:
                forms = ", ".join(f"{name}({', '.join(kinds)})" for kinds, _ in self._functions[name].forms)
                return Fault(start, "E301", f"{name}() is called with the wrong number of values (has: {forms})")
            return self._unknown_function(name, start, (*METHODS, *MACROS) if len(chain.parts) > 1 else GLOBAL)
        if chain is not None and not chain.called:
            shown = max(len(name.split(".")), 3 if chain.parts[0] == "steps" else 2)
            name = ".".join(chain.parts[:shown])
        roots = {known.split(".")[0] for known in self.declared}
        root, _, member = name.partition(".")
        inside = [known.partition(".")[2] for known in self.declared if known.startswith(root + ".")]
        if root not in roots:
            return Fault(start, "E301", f"unknown variable '{name}'{did_you_mean(name, [*self.declared, *roots])}")
        if not member:
            return Fault(start, "E301", f"'{name}' alone is not a value; name one of its members{has(inside)}")
        near = did_you_mean(member, inside).replace("mean '", f"mean '{root}.")
        return Fault(start, "E301", f"unknown variable '{name}'{near or has(inside)}")


def _has_faults(source: str, found: list[scan.Chain], declared: Mapping[str, str]) -> list[Fault]:
    """``has(vars.x)`` of a declared name would give its value, not a boolean (cel-expr-python 0.1.3)."""
    return [
        Fault(has_.start, "E301", f"has() is for keys of an object; write '{'.'.join(name.parts)} != null'")
        for has_, name in itertools.pairwise(found)
        if has_.parts == ("has",) and has_.called and ".".join(name.parts) in declared
    ]


def _environment(names: Mapping[str, str], types: Mapping[str, Any], functions: list[Any]) -> Any:
    return cel.NewEnv(
        variables={name: types[kind] for name, kind in names.items()},
        functions=functions,
        extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional(), ext_math.ExtMath()],
    )


def _typed(function: Function) -> Any:
    return cel.FunctionDecl(
        function.name,
        [
            cel.Overload(f"{function.name}_{'_'.join(kinds)}", _PLAIN[result], [_PLAIN[kind] for kind in kinds])
            for kinds, result in function.forms
        ],
    )


def _untyped(function: Function) -> Any:
    """One overload for each number of arguments, open to null: the function itself says what it cannot use."""
    sizes = sorted({len(kinds) for kinds, _ in function.forms})
    return cel.FunctionDecl(
        function.name,
        [cel.Overload(f"{function.name}_{size}", _T.DYN, [_ANY] * size, impl=function.act) for size in sizes],
    )


def _to_cel(value: Any, kind: str) -> Any:
    """A value as CEL takes it: declared fractions stay fractions, every other integral number becomes an integer."""
    if value is None:
        return {"object": {}, "array": []}.get(kind)
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float):
        return int(value) if kind != "number" and value.is_integer() and abs(value) < 2**63 else value
    if kind == "timestamp" or isinstance(value, str | int | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _to_cel(item, "any") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_cel(item, "any") for item in value]
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _our_type(name: str) -> str:
    if name.startswith("LIST"):
        return "array"
    if name.startswith("MAP"):
        return "object"
    return _OURS.get(name, "any")


def _readable(message: str) -> str:
    message = re.sub(r" \(in container ''\)", "", message)
    return re.sub(r"wrapper\((\w+)\)", r"\1", message).replace("int64", "int")


def _type_hint(message: str) -> str:
    applied = _readable(message)
    if "'(int, string)'" in applied or "'(string, int)'" in applied:
        return " (string(…) makes text of a number, int(…) a number of text)"
    if "'(double, int)'" in applied or "'(int, double)'" in applied:
        return " (whole numbers and fractions do not mix: write 2.0, or double(…))"
    if "null_type" in applied:
        return " (an object or a list is never null; ask size(…) == 0)"
    return ""


__all__ = ["CONTEXT", "TYPES", "UNTYPED", "ExpressionError", "Fault", "FaultsError", "Names", "Program"]
