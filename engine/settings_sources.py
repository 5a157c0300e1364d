"""Where settings come from: the environment, secret files, the settings file; and what is said when one is wrong."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import PydanticBaseSettingsSource

from engine.errors import UserError
from engine.settings import FOREIGN, FOREIGN_TOO, Settings, described, is_secret, variable

DEFAULT_FILE: Final = Path("hookflash.yaml")
PREFIX: Final = "HOOKFLASH_"
VOICES: Final = "HOOKFLASH_VOICES_"
ACCOUNTS: Final = "HOOKFLASH_ACCOUNTS_"

Place = tuple[str, ...]  # where a setting stands: ("asterisk", "url")

# Kubernetes gives every pod beside a service called hookflash variables like HOOKFLASH_PORT_8070_TCP.
_SERVICE_LINK = re.compile(r"_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)$")


class SettingsError(UserError):
    """Settings that cannot be used, each with where it came from and what is allowed; one to a line."""


def load_settings(config: Path | None = None, **overrides: Any) -> Settings:
    """All settings. ``config`` names the settings file, ``overrides`` win over everything. Raises `SettingsError`."""
    if config is not None:
        overrides["config"] = config
    try:
        return Settings(**overrides)
    except ValidationError as error:
        origins = _origins(config)
        problems = [_problem(found, origins) for found in error.errors(include_url=False)]
        raise SettingsError("\n".join(dict.fromkeys(problems))) from None


def unknown_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """A warning for each HOOKFLASH_ variable that sets nothing: most are misspelt."""
    known = [variable(path) for path, _ in described()]
    found = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name.startswith(VOICES) or name.removesuffix("_FILE") in known:
            continue
        if name.startswith(ACCOUNTS):
            if _account_path(name, _voice_names()) is None:
                found.append(f"{name} is no setting: it is HOOKFLASH_ACCOUNTS_<account>_<voice>_<setting>")
            continue
        if not _SERVICE_LINK.search(name):
            found.append(f"{name} is no setting{_similar(name, known)}")
    return found


class Environment(PydanticBaseSettingsSource):
    """HOOKFLASH_… variables; ``…_FILE`` names a file that holds the value. An empty variable counts as not set."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: values are read all at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values as nested mappings. Raises `SettingsError` for a secret file that cannot be read."""
        values: dict[str, Any] = {}
        for path, name in _variables(os.environ).items():
            text = os.environ[name]
            _put(values, path, _secret_file(Path(text), name) if name.endswith("_FILE") else text)
        return values


class SettingsFile(PydanticBaseSettingsSource):
    """The YAML file. Secrets stand in it by reference only: ``password_file: /run/secrets/ari``."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Not used: values are read all at once."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """The values of the file, {} when there is none. Raises `SettingsError`."""
        file = _file(self.current_state.get("config"))
        values: dict[str, Any] = {}
        if file is not None:
            for path, (value, line) in _read_yaml(file).items():
                if value is not None:
                    _put(values, *_from_file(path, value, f"{file}:{line}"))
        return values


# ── The environment ───────────────────────────────────────────────────────────────────────────────────────────────────


def _variables(environ: Mapping[str, str]) -> dict[Place, str]:
    """Which variable says each setting that the environment says."""
    found: dict[Place, str] = {}
    for path, _ in described():
        name = variable(path)
        if environ.get(name) or environ.get(f"{name}_FILE"):
            found[path] = name if environ.get(name) else f"{name}_FILE"
    for name, path in (*FOREIGN.items(), *FOREIGN_TOO.items()):
        if environ.get(name):
            found[path] = name
    voices = _voice_names()
    for name in sorted(environ):
        if name.startswith(VOICES) and environ[name] and (voice_path := _voice_path(name, voices)):
            found[voice_path] = name
        elif name.startswith(ACCOUNTS) and environ[name] and (account_path := _account_path(name, voices)):
            found[account_path] = name
    return found


def _voice_names() -> list[str]:
    """The voices that are installed, those with long names first."""
    return sorted((point.name for point in entry_points(group="hookflash.voices")), key=len, reverse=True)


def _account_path(name: str, voices: Iterable[str]) -> Place | None:
    """HOOKFLASH_ACCOUNTS_ACME_OPENAI_API_KEY is accounts.acme.openai.api_key; the first name of a voice counts."""
    rest = name.removeprefix(ACCOUNTS)
    found = [(rest.find(f"_{variable((voice,)).removeprefix(PREFIX)}_", 1), voice) for voice in voices]
    at, voice = min(((at, voice) for at, voice in found if at > 0), key=lambda one: one[0], default=(0, ""))
    place = _voice_path(VOICES + rest[at + 1 :], (voice,)) if at else None
    return None if place is None else ("accounts", rest[:at].lower(), *place[1:])


def _voice_path(name: str, voices: Iterable[str]) -> Place | None:
    """HOOKFLASH_VOICES_OPENAI_API_KEY is voices.openai.api_key. The names of voices may hold underscores themselves."""
    rest = name.removeprefix(VOICES)
    for voice in voices:
        prefix = variable((voice,)).removeprefix(PREFIX) + "_"
        if rest.startswith(prefix) and rest != prefix:
            break
    else:
        voice, underscore, key = rest.partition("_")
        if not underscore or not key:
            return None
        voice, prefix = voice.lower(), f"{voice}_"
    key = rest.removeprefix(prefix).lower()
    secret = key.removesuffix("_file")
    return "voices", voice, secret if is_secret(secret) else key


# ── The file ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _file(named: str | Path | None) -> Path | None:
    if named:
        return Path(named)
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def _read_yaml(file: Path) -> dict[Place, tuple[Any, int]]:
    """Each value of the file with its line."""
    try:
        text = file.read_text("utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
    except OSError as error:
        raise SettingsError(f"cannot read the settings file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"the settings file {file} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SettingsError(f"{file}{line}: not YAML: {getattr(error, 'problem', None) or error}") from None
    found: dict[Place, tuple[Any, int]] = {}
    if root is not None:
        _walk(root, (), file, found)
    return found


def _walk(node: yaml.Node, path: Place, file: Path, found: dict[Place, tuple[Any, int]]) -> None:
    line = node.start_mark.line + 1
    if len(path) > 4:
        raise SettingsError(f"{file}:{line}: {'.'.join(path)} is nested too deep")
    if not isinstance(node, yaml.MappingNode):
        if not path:
            raise SettingsError(f"{file}:{line}: settings are written `name: value`, one to a line")
        loader = yaml.SafeLoader("")
        found[path] = (loader.construct_document(node), line)
        return
    for key, value in node.value:
        inner = (*path, str(key.value))
        if any(known[: len(inner)] == inner for known in found):
            raise SettingsError(f"{file}:{key.start_mark.line + 1}: {'.'.join(inner)} stands in the file twice")
        _walk(value, inner, file, found)


def _from_file(path: Place, value: Any, where: str) -> tuple[Place, Any]:
    """The setting as it counts: a secret's file is read, a secret itself refused."""
    target = (*path[:-1], path[-1].removesuffix("_file"))
    if target != path and _is_secret_path(target):
        if not isinstance(value, str):
            raise SettingsError(f"{'.'.join(path)} ({where}) must be the name of a file")
        return target, _secret_file(Path(value), where)
    if _is_secret_path(path) and not (path == ("database", "url") and not _has_password(str(value))):
        raise SettingsError(
            f"{'.'.join(path)} ({where}): a secret must not stand in a settings file; "
            f"set {variable(path)}, or {'.'.join(path)}_file to a file that holds it"
        )
    return path, value


def _is_secret_path(path: Place) -> bool:
    if path[0] in ("voices", "accounts"):
        return len(path) == (3 if path[0] == "voices" else 4) and is_secret(path[-1])
    return any(known == path and field.annotation is SecretStr for known, field in described())


def _has_password(url: str) -> bool:
    return bool(re.search(r"//[^/@]*:[^/@]+@|[?&]password=", url))


def _secret_file(file: Path, where: str) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {file}, named by {where}: {error}") from None


# ── What is wrong ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _origins(config: Path | None) -> dict[Place, str]:
    """Where each setting came from; the environment wins."""
    file = _file(config or os.environ.get("HOOKFLASH_CONFIG"))
    found = {path: f"{file}:{line}" for path, (_, line) in _read_yaml(file).items()} if file else {}
    return found | _variables(os.environ)


def _problem(error: ErrorDetails, origins: Mapping[Place, str]) -> str:
    path = tuple(str(part) for part in error["loc"])
    said = _origin(path, origins)
    if error["type"] == "extra_forbidden":
        known = [".".join(item) for item, _ in described()] + list(Settings.model_fields)
        return f"{'.'.join(path)} ({said}): no such setting{_similar('.'.join(path), known)}"
    message = error["msg"].removeprefix("Value error, ").partition(", unable to")[0]
    message = re.sub(r"^(Input|String|Value|Tuple|Dictionary) should", "must", message)
    message = {"string_type": "must be text: put it in quotes", "model_type": "must be a group of settings"}.get(
        error["type"], message
    )
    value = error["input"]
    shown = f" = {value!r:.60}" if isinstance(value, str | int | float) and not _is_secret_path(path) else ""
    return f"{'.'.join(path)}{shown} ({said}): {message}"


def _origin(path: Place, origins: Mapping[Place, str]) -> str:
    for end in range(len(path), 0, -1):
        if path[:end] in origins:
            return origins[path[:end]]
    return next((where for known, where in origins.items() if known[: len(path)] == path), "command line")


def _similar(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.7)
    return f" (did you mean {close[0]}?)" if close else ""


def _put(values: dict[str, Any], path: Place, value: Any) -> None:
    for part in path[:-1]:
        values = values.setdefault(part, {})
    values[path[-1]] = value
