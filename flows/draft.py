"""A flow that is being read. Field validators find it as pydantic's validation context and leave with it what needs
the whole flow to be known: expressions (their names are declared further down), references to names, nested
steps, files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from flows.contents import contents
from flows.problems import MistakeError, Problem, Where

if TYPE_CHECKING:
    from flows.flow import Step
    from flows.mending import Mending
    from flows.reader import Seq
    from flows.texts import Expression

MAX_FILE_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that must exist: ``kind`` is section, flow, calendar, endpoint, destination or prompt."""

    kind: str
    name: str
    where: Where


@dataclass(slots=True)
class Draft:
    """What is known of a flow while its steps are read. ``root`` is the folder that referenced files may not leave."""

    file: Path
    root: Path
    read_steps: Callable[[Seq], tuple[Step, ...]]
    problems: list[Problem] = field(default_factory=list)
    expressions: list[tuple[Expression, Mapping[str, str]]] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    sought: set[Path] = field(default_factory=set)  # files that were to be read, there or not
    local: dict[str, str] = field(default_factory=dict)
    mending: Mending | None = None  # fields that are wrong are being read

    def report(self, where: Where, code: str, message: str) -> None:
        """Note a problem."""
        self.problems.append(Problem.at(where, code, message))

    def expect(self, expression: Expression) -> None:
        """Note an expression to compile when all names are known."""
        self.expressions.append((expression, dict(self.local)))

    def refer(self, kind: str, name: str, where: Where) -> None:
        """Note a name that must exist."""
        self.references.append(Reference(kind, name, where))

    @contextmanager
    def locals(self, names: Mapping[str, str]) -> Iterator[None]:
        """Expressions read inside see these names too (dotted name -> type)."""
        before = self.local
        self.local = {**before, **names}
        try:
            yield
        finally:
            self.local = before

    def load(self, relative: str, where: Where) -> tuple[Path, bytes]:
        """The content of a file that the flow names, by a path relative to the flow's file. Raises `MistakeError`."""
        path = self.file.parent / relative
        self.sought.add(path)
        try:
            root, real = self.root.resolve(), path.resolve()
            if not real.is_relative_to(root):
                raise MistakeError(where, "E306", f"file '{relative}' lies outside of the flows' folder")
            content = contents(path, MAX_FILE_BYTES)
            if len(content) > MAX_FILE_BYTES:
                raise MistakeError(where, "E306", f"file '{relative}' is larger than {MAX_FILE_BYTES:,} bytes")
        except MistakeError:
            raise
        except (OSError, ValueError, RuntimeError) as error:  # also a NUL in the name, and links in a circle
            reason = "not found" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None) or error
            raise MistakeError(where, "E306", f"file '{relative}': {reason}") from error
        self.files[str(real.relative_to(root))] = content
        return path, content


@dataclass(frozen=True, slots=True, eq=False)
class ReadBy:
    """A pydantic annotation for types that read themselves from a flow's value and describe themselves to editors.

    ``read(value, draft)`` gets the located value and the draft (None outside a flow), and raises `MistakeError`.
    """

    read: Callable[[Any, Draft | None], Any]
    json_schema: Mapping[str, Any]

    def core_schema(self) -> CoreSchema:
        """The schema for pydantic."""

        def validate(value: Any, info: core_schema.ValidationInfo) -> Any:
            return self.read(value, info.context if isinstance(info.context, Draft) else None)

        def describe(schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
            return dict(self.json_schema)

        return core_schema.with_info_plain_validator_function(validate, metadata={"pydantic_js_functions": [describe]})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return self.core_schema()
