from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from engine.logs import configure
from engine.settings import LogSettings


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_carries_its_call_and_is_json_off_a_terminal() -> None:
    stream = io.StringIO()
    configure(LogSettings(), stream=stream)
    with structlog.contextvars.bound_contextvars(call_id="c1", flow="clinic", step="steps/2"):
        structlog.get_logger().info("answered", ms=12)
    (line,) = logged(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "answered",
        "ms": 12,
        "level": "info",
        "call_id": "c1",
        "flow": "clinic",
        "step": "steps/2",
    }


def test_a_terminal_gets_lines_for_people() -> None:
    stream = Terminal()
    configure(LogSettings(), stream=stream)
    structlog.get_logger().info("answered")
    assert "answered" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_other_libraries_come_out_the_same_way() -> None:
    stream = io.StringIO()
    configure(LogSettings(), stream=stream)
    with structlog.contextvars.bound_contextvars(call_id="c1"):
        logging.getLogger("somelib").warning("odd %s", "thing", extra={"token": "abc"})
        logging.getLogger("sqlalchemy.engine").info("SELECT")  # too talkative
    (line,) = logged(stream)
    assert line["event"] == "odd thing"
    assert line["logger"] == "somelib"
    assert line["call_id"] == "c1"
    assert line["token"] == "***"


def test_the_level_holds_for_both() -> None:
    stream = io.StringIO()
    configure(LogSettings(level="error"), stream=stream)
    structlog.get_logger().warning("no")
    logging.getLogger("x").warning("no")
    logging.getLogger("x").error("yes")
    structlog.get_logger().error("yes")
    assert [line["event"] for line in logged(stream)] == ["yes", "yes"]


def test_secrets_never_get_out() -> None:
    stream = io.StringIO()
    configure(LogSettings(), secrets=["tulip-9", "", "x"], stream=stream)
    log = structlog.get_logger()
    log.info("sent", headers={"Authorization": "Basic aGVsbG86d29ybGQ=", "Accept": "x"}, api_key="k-1")
    log.info("Authorization: Bearer abcdef123456 for sk-proj-abcdefghijklmnop at postgres://u:pw12@h/d?token=zzz")
    log.info("the word tulip-9 itself", deep=[{"password": "tulip-9", "note": "has tulip-9 in it"}])
    try:
        raise ValueError("login with tulip-9 failed, api_key=secretkey1")
    except ValueError as error:
        log.exception("failed", error=error)
    text = stream.getvalue()
    for secret in ("tulip-9", "aGVsbG8", "k-1", "abcdef", "abcdefghijklmnop", "pw12", "zzz", "secretkey1"):
        assert secret not in text, secret
    assert '"Accept": "x"' in text
    assert "Traceback" in text


def test_numbers_are_masked_when_asked() -> None:
    stream = io.StringIO()
    configure(LogSettings(numbers=False), stream=stream)
    structlog.get_logger().info("call from +14155550199 to 02071838750", call_id="hf-1760000000.12345678", port=8070)
    (line,) = logged(stream)
    assert line["event"] == "call from ***99 to ***50"
    assert line["call_id"] == "hf-1760000000.12345678"
    shown = io.StringIO()
    configure(LogSettings(), stream=shown)
    structlog.get_logger().info("call from +14155550199")
    assert "+14155550199" in shown.getvalue()
