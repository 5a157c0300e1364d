"""Files that a flow names: found, bounded, hashed into its revision, and read once, so that a live call never sees
a change."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema

from flows.draft import Draft, ReadBy
from flows.problems import NOWHERE, MistakeError, Where
from flows.reader import Document, Scalar, Str, where_of
from flows.texts import Text


class FilePath:
    """A file beside the flow, given by a path relative to the flow's file. It must exist and lie in the flows'
    folder."""

    __slots__ = ("_content", "path", "where")

    def __init__(self, path: Path, content: bytes, where: Where = NOWHERE) -> None:
        self.path = path
        self.where = where
        self._content = content

    def read(self) -> str:
        """The file's text as it was when the flow was loaded."""
        return self._content.decode("utf-8-sig")

    def read_bytes(self) -> bytes:
        """The file's bytes as they were when the flow was loaded."""
        return self._content

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r})"

    @classmethod
    def from_flow(cls, value: Any, draft: Draft | None) -> Self:
        """The file that a flow names. Raises `MistakeError`."""
        if isinstance(value, cls):
            return value
        if not isinstance(value, str) or not value.strip():
            raise MistakeError(where_of(value), "E203", "this must be the path of a file")
        where = where_of(value)
        if draft is None:
            path = Path(value)
            return cls(path, path.read_bytes(), where)
        return cls._loaded(*draft.load(value, where), where, draft)

    @classmethod
    def _loaded(cls, path: Path, content: bytes, where: Where, draft: Draft) -> Self:
        return cls(path, content, where)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return ReadBy(cls.from_flow, {"type": "string"}).core_schema()


class TextFile(FilePath):
    """A text file that may hold ``${…}``, such as a prompt. Mistakes in it are reported in that file, at their own
    line."""

    __slots__ = ("text",)

    def __init__(self, path: Path, content: bytes, where: Where = NOWHERE, text: Text | None = None) -> None:
        super().__init__(path, content, where)
        self.text = text if text is not None else Text(self.read())

    @classmethod
    def _loaded(cls, path: Path, content: bytes, where: Where, draft: Draft) -> Self:
        try:
            source = located(str(path), content.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise MistakeError(where, "E306", f"file '{path.name}' is not UTF-8 text") from error
        return cls(path, content, where, Text(source, draft=draft))


def located(file: str, text: str) -> Str:
    """A whole file's text as a string that knows the places of its characters."""
    source = Str(text)
    document = Document(file, text)
    source.where = document.where(0)
    source.scalar = Scalar(document, 0, len(text), None)
    return source
