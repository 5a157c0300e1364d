"""The settings: what each is called, what it may be, and what it is when nobody says.

A value comes from (the first that has it) the command line, the environment (``HOOKFLASH_ASTERISK_URL`` is
``asterisk.url``), a file named by the environment (``HOOKFLASH_ASTERISK_PASSWORD_FILE``), the settings file
(``hookflash.yaml``, or the one that ``--config`` or ``HOOKFLASH_CONFIG`` names), the default. `load_settings` of
`engine.settings_sources` reads them and says what is wrong in words.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from engine.prices import CURRENCY
from flows.targets import mistake_in

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(value: Any) -> Any:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)", value.strip()) if isinstance(value, str) else None
    return float(found[1]) * _UNITS[found[2]] if found else value


def _words(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _ari_root(value: str) -> str:
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", value):
        raise ValueError("must be a URL such as http://127.0.0.1:8088")
    if "@" in value:
        raise ValueError("must not hold a user or password: set asterisk.user and asterisk.password")
    return value.rstrip("/").removesuffix("/ari")


def _target(value: str) -> str:
    if mistake_in(value):
        raise ValueError("must be a target such as pjsip:front-desk, tel:+14155550100 or teams:reception")
    return value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) else value


def _app(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,29}", value):
        raise ValueError("must be a letter and then at most 29 letters, digits, - or _")
    return value


def _account(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        raise ValueError("the name of an account consists of small letters, digits and _, and begins with a letter")
    return value


def _number(value: str) -> str:
    if not re.fullmatch(r"\+?\d{2,15}", value):
        raise ValueError('must be a phone number in quotes, such as "+14155550100"')
    return value


def _origin(value: str) -> str:
    if not re.fullmatch(r"https?://[^/\s?#@]+", value.rstrip("/")):
        raise ValueError("must be a scheme and a host such as https://calls.example.com, without a path")
    return value.rstrip("/").lower()


def _age(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or not re.fullmatch(AGE, value):
        raise ValueError("must be a number of days such as 90d")
    return timedelta(days=int(value[:-1]))


def _currency(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", value):
        raise ValueError("must be a currency such as USD or EUR")
    return value


AGE = "^[1-9][0-9]{0,4}d$"  # a day at least: what is younger may belong to a call that is live
Age = Annotated[timedelta, BeforeValidator(_age), WithJsonSchema({"type": "string", "pattern": AGE})]
AccountName = Annotated[str, AfterValidator(_account)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
Level = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lambda v: str(v).lower())]


class Section(BaseModel):
    """A group of settings: unknown ones are mistakes, and no value is ever shown in an error by pydantic."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AsteriskSettings(Section):
    """The Asterisk beside which the engine runs."""

    url: Annotated[str, AfterValidator(_ari_root)] = Field(
        "http://127.0.0.1:8088", description="Asterisk's HTTP server, the one that serves ARI"
    )
    user: str = Field("hookflash", min_length=1, description="ARI user, of ari.conf")
    password: SecretStr = Field(SecretStr(""), description="Its password")
    app: Annotated[str, AfterValidator(_app)] = Field(
        "hookflash", description="The Stasis application that the dialplan names"
    )
    media: Literal["auto", "websocket", "audiosocket", "rtp"] = Field(
        "auto", description="How audio travels; auto takes the best that this Asterisk has"
    )
    trunk: str | None = Field(None, description="The PJSIP endpoint for tel: targets; without one they are refused")
    teams: str = Field("teams", min_length=1, description="The PJSIP endpoint that dials teams: targets")
    law: Literal["ulaw", "alaw"] = Field("ulaw", description="G.711 law of the trunks: alaw in Europe")


class HttpSettings(Section):
    """The engine's own HTTP server: /metrics, /livez, /readyz, /startupz."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all")
    port: int = Field(8070, ge=0, le=65535, description="Port to listen on; 0 takes a free one")


class EventsSettings(Section):
    """What others may tell live calls: POST /calls/{id}/events/{name}."""

    token: SecretStr = Field(SecretStr(""), description="What they must know; without one nobody may")

    @field_validator("token")
    @classmethod
    def long_enough(cls, token: SecretStr) -> SecretStr:
        """Nobody shall guess it."""
        if 0 < len(token.get_secret_value()) < 16:
            raise ValueError("must have at least 16 characters, such as those that `openssl rand -hex 32` prints")
        return token


class ConsoleSettings(Section):
    """The supervisors' console and its API."""

    tokens: Path = Field(Path("var/tokens.json"), description="Who may come in; `hookflash token` writes it")
    audit: Path = Field(Path("var/audit.jsonl"), description="Who looked at what and did what, a line each")
    origin: Annotated[str, AfterValidator(_origin)] | None = Field(
        None, description="Where browsers see the console when a proxy stands before it: https://calls.example.com"
    )


class LogSettings(Section):
    """What is logged, and how it looks. Logs go to stderr."""

    level: Level = Field("info", description="Least important level that is shown")
    format: Literal["auto", "json", "console"] = Field("auto", description="auto: JSON unless stderr is a terminal")
    numbers: bool = Field(True, description="false: phone numbers are masked in logs")


class DatabaseSettings(Section):
    """Where call records are kept."""

    url: SecretStr = Field(
        SecretStr("sqlite+aiosqlite:///var/hookflash.db"),
        description="SQLite file (relative to the working folder), or postgresql+asyncpg://user:password@host/name",
    )


class RecordSettings(Section):
    """What a call record holds."""

    transcripts: bool = Field(True, description="false: nothing that was said or typed is stored")


class KeepSettings(Section):
    """How long it is kept what calls leave; for ever when nobody says."""

    records: Age | None = Field(None, description="Call records, with all that was said: such as 90d")
    recordings: Age | None = Field(None, description="Recordings of calls")
    voicemail: Age | None = Field(None, description="Messages that callers left")
    audit: Age | None = Field(None, description="Lines of the audit log")


class CostSettings(Section):
    """What calls may cost, and by which prices."""

    prices: Path | None = Field(None, description="A file of your own prices; what it does not know has the list price")
    currency: Annotated[str, AfterValidator(_currency)] = Field(
        CURRENCY, description="In which costs are counted (ISO 4217)"
    )
    per_call: Decimal | None = Field(None, gt=0, description="What a call may cost; a flow may say less")
    per_day: Decimal | None = Field(None, gt=0, description="What the calls of a tenant may cost from midnight UTC on")


class Settings(BaseSettings):
    """All settings. Load them with `engine.settings_sources.load_settings`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    config: Path | None = Field(None, description="The settings file; default: hookflash.yaml where there is one")
    name: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        description="This engine's name in records; a restarted engine must keep it. Default: the host's name",
    )
    asterisk: AsteriskSettings = AsteriskSettings()
    flows: Annotated[tuple[Path, ...], BeforeValidator(_words)] = Field(
        (Path("flows"),), description="Flow files and folders, separated by commas"
    )
    database: DatabaseSettings = DatabaseSettings()
    voices: dict[str, dict[str, Annotated[SecretStr, BeforeValidator(_text)]]] = Field(
        default_factory=dict, description="Settings of each AI voice, by its name: api_key, base_url, model, …"
    )
    accounts: dict[AccountName, dict[str, dict[str, Annotated[SecretStr, BeforeValidator(_text)]]]] = Field(
        default_factory=dict, description="Accounts of others than the engine's owner: for each, settings of voices"
    )
    voice: str = Field("rehearsal", min_length=1, description="The voice of a converse that names no provider")
    speech: str = Field("rehearsal", min_length=1, description="The voice that speaks say, menu and gather")
    listening: str | None = Field(
        None, min_length=1, description="The voice that writes down speech for gather and messages; default: voice"
    )
    text: str | None = Field(None, min_length=1, description="The provider whose text model extracts and summarises")
    text_model: str | None = Field(None, min_length=1, description="Its model; the provider's default when absent")
    http: HttpSettings = HttpSettings()
    max_calls: int = Field(100, ge=1, le=100_000, description="Live calls at most; more go to the dialplan's fallback")
    drain_timeout: Seconds = Field(300.0, description="How long a stopping engine lets live calls go on")
    safety_destination: Annotated[str, AfterValidator(_target)] | None = Field(
        None, description="Who is rung when a flow fails and says nothing of it"
    )
    caller_id: Annotated[str, AfterValidator(_number)] | None = Field(
        None, description="Number shown to hand-off targets when the flow names none; else the caller's own"
    )
    storage: Path = Field(Path("var"), description="Folder for what is recorded: voicemail/ and recordings/")
    events: EventsSettings = EventsSettings()
    console: ConsoleSettings = ConsoleSettings()
    log: LogSettings = LogSettings()
    record: RecordSettings = RecordSettings()
    keep: KeepSettings = KeepSettings()
    cost: CostSettings = CostSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """First come, first served; our own readers understand ``_FILE``, voices, and the lines of the file."""
        from engine.settings_sources import Environment, SettingsFile

        return init_settings, Environment(settings_cls), SettingsFile(settings_cls)

    def voice_settings(self) -> dict[str, dict[str, str]]:
        """The settings of each voice in clear, as `providers.registry.load` takes them."""
        return _in_clear(self.voices)

    def account_settings(self) -> dict[str, dict[str, dict[str, str]]]:
        """The same of each account."""
        return {account: _in_clear(voices) for account, voices in self.accounts.items()}

    def secrets(self) -> Iterator[str]:
        """Every secret in clear, so that logs can be kept free of them."""
        yield self.asterisk.password.get_secret_value()
        yield self.events.token.get_secret_value()
        if in_url := re.search(r"//[^/@]*:([^/@]+)@", self.database.url.get_secret_value()):
            yield in_url[1]
        for found in (*self.voices.values(), *(of for voices in self.accounts.values() for of in voices.values())):
            yield from (value.get_secret_value() for name, value in found.items() if is_secret(name))


def _in_clear(voices: Mapping[str, Mapping[str, SecretStr]]) -> dict[str, dict[str, str]]:
    return {voice: {name: value.get_secret_value() for name, value in found.items()} for voice, found in voices.items()}


def is_secret(name: str) -> bool:
    """Whether a setting of this name may come from the environment or a secret file only."""
    return bool(re.search(r"(^|_)(key|token|secret|password|credentials)$", name))


def described(
    model: type[BaseModel] = Settings, at: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], FieldInfo]]:
    """Every single setting but the voices' and accounts': its path and pydantic's description of it."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from described(kind, (*at, name))
        elif name not in ("voices", "accounts"):
            yield (*at, name), field


def variable(path: tuple[str, ...]) -> str:
    """The environment variable of a setting."""
    return "_".join(("HOOKFLASH", *path)).upper().replace("-", "_")


FOREIGN: Mapping[str, tuple[str, ...]] = {
    "AZURE_OPENAI_API_KEY": ("voices", "azure-openai", "api_key"),
    "AZURE_OPENAI_ENDPOINT": ("voices", "azure-openai", "endpoint"),
    "AZURE_SPEECH_ENDPOINT": ("voices", "azure-speech", "endpoint"),
    "AZURE_SPEECH_KEY": ("voices", "azure-speech", "api_key"),
    "AZURE_SPEECH_REGION": ("voices", "azure-speech", "region"),
    "AZURE_VOICELIVE_API_KEY": ("voices", "azure-voice-live", "api_key"),
    "AZURE_VOICELIVE_ENDPOINT": ("voices", "azure-voice-live", "endpoint"),
    "GEMINI_API_KEY": ("voices", "gemini", "api_key"),
    "GOOGLE_APPLICATION_CREDENTIALS": ("voices", "google", "credentials"),
    "GOOGLE_CLOUD_PROJECT": ("voices", "google", "project"),
    "OPENAI_API_KEY": ("voices", "openai", "api_key"),
    "XAI_API_KEY": ("voices", "grok", "api_key"),
}
"""Variables of other makers that are understood; our own win."""

FOREIGN_TOO: Mapping[str, tuple[str, ...]] = {"OPENAI_API_KEY": ("voices", "gpt-live", "api_key")}
"""What a variable sets besides: one key opens several voices of a maker."""
