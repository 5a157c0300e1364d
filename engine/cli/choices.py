"""The choices of `hookflash asterisk-config`: a YAML file, single values of the command line, passwords from files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from engine.errors import UserError

if TYPE_CHECKING:
    from asterisk.config import AsteriskConfig
    from engine.settings import Settings


def chosen(
    settings: Settings, password: str, file: Path | None = None, single: Iterable[str] = (), *, crypt: bool = True
) -> AsteriskConfig:
    """The configuration that settings, a file of choices and `NAME=VALUE` words give; the latter win.

    `password_file: /run/secrets/carrier` in the file stands for `password` with what that file holds. Raises
    `UserError` with every choice that cannot be.
    """
    from asterisk.config import AsteriskConfig

    user = {"name": settings.asterisk.user, "password": password, "password_format": "crypt" if crypt else "plain"}
    values: Any = {"application": settings.asterisk.app, "users": [user]} | (_read(file) if file else {})
    for word in single:
        _put(values, word)
    try:
        return AsteriskConfig.model_validate(values)
    except ValidationError as error:
        raise UserError(
            "\n".join(
                f"{file or 'settings'}: {'.'.join(map(str, found['loc']))}: "
                f"{found['msg'].removeprefix('Value error, ')}"
                for found in error.errors(include_input=False)
            )
        ) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(file.read_text("utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file}: {error}") from None
    if not isinstance(values, dict):
        raise UserError(f"{file}: choices are written `name: value`, one to a line")
    found: dict[str, Any] = _with_passwords(values, file)
    return found


def _with_passwords(value: Any, file: Path) -> Any:
    """The same value, with each `password_file` replaced by the password that it names."""
    if isinstance(value, list):
        return [_with_passwords(item, file) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: _with_passwords(item, file) for name, item in value.items() if name != "password_file"}
    if "password_file" in value:
        secret = Path(str(value["password_file"]))
        try:
            found["password"] = secret.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: password_file: cannot read {secret}: {error}") from None
    return found


def _put(values: dict[str, Any], word: str) -> None:
    """Write one `sip.external_address=203.0.113.7` into the choices."""
    name, equals, text = word.partition("=")
    if not equals or not name or not text:
        raise UserError(f"--set {word}: write NAME=VALUE, such as sip.external_address=203.0.113.7")
    *groups, last = name.split(".")
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise UserError(f"--set {word}: {group} is no group of choices")
    values[last] = text
