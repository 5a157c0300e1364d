"""Reading fields of which some are wrong: every mistake is told, what is right is read all the same.

Pydantic refuses a whole model for one wrong field. So what is wrong is taken out of a copy of what was written, and the
rest is read again, model by model: a field that is needed gets a stand-in of its type. What follows from a mistake
alone (a list that is too short without its wrong item, a key that is missing since it was misspelt) is not told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, Field, ValidationError, create_model

from flows.json_schema import JsonSchema
from flows.mistakes import Mistake, mistakes_of, nearest_key
from flows.problems import Problem, Where
from flows.reader import Map, Seq
from flows.texts import Expression, Text, Value

if TYPE_CHECKING:
    from flows.draft import Draft

UNKNOWN = "?"  # stands for an unknown key that nobody can guess the meaning of
_Model = TypeVar("_Model", bound=BaseModel)
_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class Mending:
    """One reading of wrong fields. ``owner`` and ``otherwise``: what they belong to, and its place."""

    owner: str
    otherwise: Where
    given: Map  # a copy; what is wrong is taken out of it
    problems: list[Problem] = field(default_factory=list)
    _gone: dict[int, set[str | int]] = field(default_factory=dict)  # by mapping or list: keys taken out, or missing
    _lost: set[int] = field(default_factory=set)  # mappings that cannot be read even so

    def read(self, model: type[BaseModel], value: Map, draft: Draft, handler: Callable[[Any], Any]) -> Any:
        """One model, mended where it must be. Raises `ValidationError` when nothing of it can be used."""
        try:
            return handler(value)
        except ValidationError as error:
            if not self._mend(error, model, value) and patient(model) is model:
                self._lost.add(id(value))
                raise
        return patient(model).model_validate(value, context=draft)

    def gone(self) -> frozenset[str]:
        """The keys of the fields themselves that were taken out or are missing."""
        return frozenset(str(key) for key in self._gone.get(id(self.given), ()))

    def names(self) -> frozenset[str]:
        """The keys that were taken out further inside."""
        return frozenset(str(key) for box, keys in self._gone.items() if box != id(self.given) for key in keys)

    def _mend(self, error: ValidationError, model: type[BaseModel], value: Map) -> bool:
        """Tell what is wrong and take it out; whether anything changed."""
        inside = value.path.removeprefix(self.given.path).strip("/").replace("/", ".")
        owner = f"{self.owner}.{inside}" if inside else self.owner
        otherwise = self.otherwise if value is self.given else value.where
        found = mistakes_of(error, model, value, owner, otherwise)
        changed = False
        cuts: dict[int, tuple[Map | Seq, set[str | int]]] = {}
        for mistake in sorted(found, key=lambda one: one.kind != "extra_forbidden"):
            holder, key, is_lost = self._end(value, mistake)
            if not is_lost and not self._follows(mistake, holder, key):
                self.problems.append(mistake.problem)
            if key is None:
                continue
            if mistake.kind == "missing" and not is_lost:
                changed |= self._note(holder, key)
            else:
                cuts.setdefault(id(holder), (holder, set()))[1].add(key)
                unknown = mistake.kind == "extra_forbidden"
                self._note(holder, nearest_key(str(key), model) or UNKNOWN if unknown else key)
        for holder, keys in cuts.values():
            _cut(holder, keys)
        return changed or bool(cuts)

    def _end(self, value: Map, mistake: Mistake) -> tuple[Map | Seq, str | int | None, bool]:
        """Where to take out what is wrong: its mapping or list, the key, and whether it was told there already."""
        holder: Map | Seq = value
        key: str | int | None = None
        here: Any = value
        for part in mistake.path:
            if not _has(here, part):
                continue  # pydantic's name for a branch of a union, or what is missing
            holder, key, here = here, part, here[part]
            if id(here) in self._lost:
                return holder, key, True
        if mistake.kind == "missing" and isinstance(here, Map):
            return here, str(mistake.path[-1]), False
        if key is None and mistake.keys is None:  # said of the whole, but at one of its keys
            where = mistake.problem.where
            key = next((name for name in value if where in (value.key_at[name], value.value_at[name])), None)
        return holder, key, False

    def _follows(self, mistake: Mistake, holder: Map | Seq, key: str | int | None) -> bool:
        """Whether it is a mistake only since something else was taken out."""
        if mistake.kind == "missing":
            return key in self._gone.get(id(holder), ())
        whole: Any = holder if key is None else holder[key]  # type: ignore[index]
        if mistake.keys is None:
            return bool(self._gone.get(id(whole)))
        if not mistake.at_key:
            return bool(self._gone.get(id(whole), set()) & {*mistake.keys, UNKNOWN})
        return bool(self._gone.get(id(holder), set()) & mistake.keys)

    def _note(self, holder: Map | Seq, key: str | int) -> bool:
        """Remember what is not there any more."""
        known = self._gone.setdefault(id(holder), set())
        if key in known:
            return False
        known.add(key)
        return True


@dataclass(frozen=True, slots=True)
class Mended:
    """What is uncertain of fields that were mended. ``gone``: those that are not what the author meant; ``names``: what
    is missing inside of others; ``places``: where the mistakes are told."""

    gone: frozenset[str]
    names: frozenset[str]
    places: frozenset[Where]

    def sure(self, ask: Callable[[Any], _Answer], fields: Any) -> tuple[_Answer, bool]:
        """What fields answer, and whether they would answer so without the mistakes."""
        watched = Watched(fields)
        answer = ask(watched)
        return answer, not watched.asked_any(self.gone)

    def checked(self, check: Callable[[Any], Iterable[Problem]], fields: BaseModel) -> set[Problem]:
        """What a check says whatever the author meant where the mistakes are."""
        found = set(check(fields))
        for other in self._others(fields):
            found &= set(check(other))
        return {problem for problem in found if problem.where not in self.places}

    def _others(self, fields: BaseModel) -> Iterator[BaseModel]:
        """The same fields with other values in place of those that are gone."""
        choices = {name: _choices(type(fields).model_fields[name].annotation) for name in self._known(fields)}
        for number in range(max(map(len, choices.values()), default=0)):
            update = {name: values[number % len(values)] for name, values in choices.items() if values}
            yield fields.model_copy(update=update)

    def _known(self, fields: BaseModel) -> Iterable[str]:
        return self.gone & type(fields).model_fields.keys()


class Watched:
    """Fields that remember what they were asked for."""

    def __init__(self, fields: Any) -> None:
        self._fields = fields
        self._asked: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self._asked.add(name)
        return getattr(self._fields, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._fields)

    def asked_any(self, names: Iterable[str]) -> bool:
        """Whether one of these fields was asked for; what is no field (a property) may ask for any."""
        names = set(names)
        return bool(names) and any(name in names or name not in self._known for name in self._asked)

    @property
    def _known(self) -> Iterable[str]:
        return type(self._fields).model_fields  # type: ignore[no-any-return]


def read_fields(
    model: type[_Model], given: Map, draft: Draft, owner: str, otherwise: Where
) -> tuple[_Model | None, Map, Mended | None]:
    """The fields; None when nothing of them can be used. Mistakes are left in the draft; then the fields are what could
    be read, ``given`` is what is left of it, and `Mended` tells how sure that is."""
    try:
        with _mending(draft, None):
            return model.model_validate(given, context=draft), given, None
    except ValidationError:
        mending = Mending(owner, otherwise, _copy(given))
    try:
        with _mending(draft, mending):
            fields = model.model_validate(mending.given, context=draft)
    except ValidationError:
        fields = None
    draft.problems += mending.problems
    names = {info.alias or name: name for name, info in model.model_fields.items()}
    mended = Mended(
        gone=frozenset(names.get(key, key) for key in mending.gone() - {UNKNOWN}),
        names=mending.names(),
        places=frozenset(problem.where for problem in mending.problems),
    )
    return fields, mending.given, mended


@contextmanager
def _mending(draft: Draft, mending: Mending | None) -> Iterator[None]:
    before, draft.mending = draft.mending, mending
    try:
        yield
    finally:
        draft.mending = before


@cache
def patient(model: type[_Model]) -> type[_Model]:
    """The same model with a stand-in for each field that is needed, as far as there is one for its type."""
    stand_ins: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        if info.is_required() and (found := _stand_in(info.annotation)) is not _NONE:
            kind = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
            stand_ins[name] = (kind, Field(found, alias=info.alias))
    return create_model(model.__name__, __base__=model, **stand_ins) if stand_ins else model


_NONE = object()


def _stand_in(annotation: Any) -> Any:
    kinds: dict[Any, Any] = {
        str: "", int: 1, float: 0.0, bool: False, tuple: (), dict: {}, Text: Text(""), Value: Value(None),
        Expression: Expression("true"), JsonSchema: JsonSchema({}),
    }  # fmt: skip
    origin = get_origin(annotation)
    if origin is Literal:
        return get_args(annotation)[0]
    return kinds.get(origin or annotation, _NONE)


def _choices(annotation: Any) -> tuple[Any, ...]:
    """Values of a simple type: all that there are, or two."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    two: dict[Any, tuple[Any, ...]] = {
        bool: (False, True), int: (1, 2), float: (0.0, 1.0), str: ("", UNKNOWN), Text: (Text(""), Text(UNKNOWN)),
    }  # fmt: skip
    return two.get(annotation, ())


def _has(value: Any, key: str | int) -> bool:
    if isinstance(value, Map):
        return key in value
    return isinstance(value, Seq) and isinstance(key, int) and key < len(value)


def _cut(holder: Map | Seq, keys: set[str | int]) -> None:
    if isinstance(holder, Map):
        for key in map(str, keys):
            del holder[key], holder.key_at[key], holder.value_at[key]
    else:
        for index in sorted((key for key in keys if isinstance(key, int)), reverse=True):
            del holder[index], holder.value_at[index]


def _copy(value: Any) -> Any:
    """Mappings and lists anew, with their places."""
    if isinstance(value, Map):
        copied = Map(value.where, value.path)
        for key, item in value.items():
            copied.put(key, _copy(item), value.key_at[key], value.value_at[key])
        return copied
    if isinstance(value, Seq):
        items = Seq(value.where, value.path)
        items.extend(map(_copy, value))
        items.value_at = list(value.value_at)
        return items
    return value
