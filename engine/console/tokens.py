"""Who may come in: tokens by name, with a role, in a file that holds only their SHA-256.

A token is 256 bits of chance, so that its hash needs neither salt nor stretching. The file is read again when it
changes. No file: nobody was named yet, and the engine may be open to its own machine. A file without tokens, or one
that went away or cannot be read any more, lets nobody in.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.console.models import Role
from engine.errors import UserError

log = structlog.get_logger()

PREFIX: Final = "hf_"  # lets people and scanners of leaked secrets know one when they see it
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class TokensError(UserError):
    """The file of tokens cannot be used; the text says why and what to do."""


class Token(BaseModel):
    """One token as it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=f"^{NAME.pattern}$")
    role: Role
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    created: datetime


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tokens: list[Token]


def hashed(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


class Tokens:
    """The tokens of a file. Raises `TokensError` when there is a file that cannot be read."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: tuple[int, int, int] | None = None
        self._known: dict[str, Token] = {}  # by hash
        self.configured = file.exists()  # stays true: what was closed is never opened by a mistake
        if self.configured:
            self._seen = self._state()
            self._known = _by_hash(read(file))

    def find(self, token: str) -> Token | None:
        """The token, when it is known."""
        self._look()
        return self._known.get(hashed(token))

    def named(self, name: str) -> Token | None:
        """The token of this name."""
        self._look()
        return next((token for token in self._known.values() if token.name == name), None)

    @property
    def open(self) -> bool:
        """Nobody was ever named."""
        self._look()
        return not self.configured

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = self.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _look(self) -> None:
        """Read the file again when it is another."""
        state = self._state()
        if state == self._seen:
            return
        self._seen = state
        self.configured = self.configured or state is not None
        try:
            self._known = _by_hash(read(self.file))
            log.info("tokens were read", file=str(self.file), tokens=len(self._known))
        except TokensError as error:
            self._known = {}
            log.error("nobody may come in: the tokens cannot be read", reason=str(error))


def _by_hash(tokens: list[Token]) -> dict[str, Token]:
    return {token.sha256: token for token in tokens}


def read(file: Path) -> list[Token]:
    """The tokens of a file. Raises `TokensError`."""
    try:
        return _File.model_validate_json(file.read_bytes()).tokens
    except OSError as error:
        raise TokensError(f"{file}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise TokensError(
            f"{file} is no file of tokens: {where + ': ' if where else ''}{first['msg']}; "
            "`hookflash token create` writes one"
        ) from None


def create(file: Path, name: str, role: Role, now: datetime) -> str:
    """Add a token and give it: nobody can read it again. Raises `TokensError`."""
    if not NAME.fullmatch(name):
        raise TokensError(f"{name!r} is no name: 1 to 64 letters, digits and . _ @ -, a letter or digit first")
    tokens = read(file) if file.exists() else []
    if any(token.name == name for token in tokens):
        raise TokensError(f"there is a token {name!r} already: revoke it first, or take another name")
    made = PREFIX + secrets.token_urlsafe(32)
    write(file, [*tokens, Token(name=name, role=role, sha256=hashed(made), created=now)])
    return made


def revoke(file: Path, name: str) -> None:
    """Take a token away. Raises `TokensError`."""
    tokens = read(file)
    left = [token for token in tokens if token.name != name]
    if len(left) == len(tokens):
        known = ", ".join(token.name for token in tokens) or "none"
        raise TokensError(f"there is no token {name!r} in {file}; there are: {known}")
    write(file, left)


def write(file: Path, tokens: list[Token]) -> None:
    """Put a whole new file in the place of the old one, readable by this user only. Raises `TokensError`."""
    unfinished = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(_File(tokens=tokens).model_dump_json(indent=2) + "\n")
        unfinished.replace(file)
    except OSError as error:
        raise TokensError(f"{file} cannot be written: {error.strerror or error}") from error
    finally:
        unfinished.unlink(missing_ok=True)
