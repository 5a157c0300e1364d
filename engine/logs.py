"""Logs: structured, on stderr, JSON unless a person looks on, and without secrets.

Every line carries what is bound for the call that it belongs to: ``structlog.contextvars.bind_contextvars(call_id=…,
flow=…, step=…)``. Lines of other libraries (the standard `logging`) come out the same way. Nothing is logged per frame.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from engine.settings import LogSettings, is_secret

HIDDEN: Final = "***"
_HEADERS: Final = frozenset({"authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key", "api-key"})
_PATTERNS: Final = (
    (re.compile(r"(?i)\b(bearer|basic|digest)\s+[A-Za-z0-9._~+/=-]{6,}"), r"\1 " + HIDDEN),
    (re.compile(r"\b(sk|xai|AIza)[-_A-Za-z0-9]{12,}"), HIDDEN),
    (re.compile(r"(?i)\b(api[_-]?key|token|password|secret)(=|%3D|\":\s*\"|:\s+)[^\s&,;\"']+"), r"\1\2" + HIDDEN),
    (re.compile(r"(\w+://[^\s/:@]*):[^\s/@]+@"), r"\1:" + HIDDEN + "@"),
)
_NUMBER: Final = re.compile(r"(?<![\w.:-])\+?\d{5,13}(\d{2})(?![\w:-]|\.\d)")
_QUIET: Final = ("aiohttp.access", "alembic", "asyncio", "aiosqlite", "sqlalchemy", "watchfiles")


def configure(settings: LogSettings, *, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Send every log line of the process to ``stream`` (stderr). ``secrets`` are struck out wherever they turn up."""
    stream = stream or sys.stderr
    as_json = settings.format == "json" or (settings.format == "auto" and not stream.isatty())
    level = getattr(logging, settings.level.upper())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        Redaction(secrets, numbers=settings.numbers),
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))


class Redaction:
    """A processor that strikes out keys, passwords and authorization, by name, by look, and by value; also numbers."""

    def __init__(self, secrets: Iterable[str] = (), *, numbers: bool = True) -> None:
        known = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None
        self._numbers = numbers

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """One line's fields, cleaned."""
        return {name: self._value(name, value) for name, value in event.items()}

    def _value(self, name: str, value: Any) -> Any:
        plain = name.lower().replace("-", "_")
        if isinstance(value, str):
            if is_secret(plain) or name.lower() in _HEADERS:
                return HIDDEN
            # Times and ids hold long digits that are nobody's number.
            return value if name in ("timestamp", "level", "call_id") else self._text(value)
        if isinstance(value, dict):
            return {key: self._value(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(name, item) for item in value]
        if isinstance(value, BaseException):
            return self._text(f"{type(value).__name__}: {value}")
        return value

    def _text(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(HIDDEN, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text if self._numbers else _NUMBER.sub(HIDDEN + r"\1", text)
