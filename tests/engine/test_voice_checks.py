"""Every installed voice says what it needs, one thing after the other, and is content when it has that."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from engine.demo import DemoError, check_voice
from providers.registry import names

VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\b")

VALUES = {
    "ENDPOINT": "https://vendor.example", "REGION": "westeurope", "CASCADE": "google",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if re.search("^HOOKFLASH_|API_KEY|ENDPOINT|CREDENTIALS", name):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("voice", sorted({*names()} - {"rehearsal"}))
def test_what_is_missing_is_named_until_nothing_is(voice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: set[str] = set()
    for _ in range(8):
        try:
            check_voice(voice)
        except DemoError as error:
            told = str(error)
        else:
            assert given, "it asked for nothing at all"
            return
        if "has no voice" in told or "pip install" in told:
            return  # it only writes; or its packages are not installed
        variable = next((name for name in VARIABLE.findall(told) if name not in given), None)
        assert variable, f"no variable is named: {told}"
        if variable == "GOOGLE_APPLICATION_CREDENTIALS":  # a key serves as well, and needs no file
            variable = "HOOKFLASH_VOICES_GOOGLE_API_KEY"
        monkeypatch.setenv(variable, next((value for part, value in VALUES.items() if part in variable), "test-key-1"))
        given.add(variable)
    raise AssertionError(f"it is never content: {sorted(given)}")


def test_the_offline_voice_needs_nothing() -> None:
    check_voice("rehearsal")


def test_what_has_no_voice_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKFLASH_VOICES_CHAT_API_KEY", "test-key-1")
    with pytest.raises(DemoError, match="'chat' has no voice"):
        check_voice("chat")


def test_a_voice_that_is_not_installed() -> None:
    with pytest.raises(DemoError, match=r"unknown voice 'gpt-life' \(did you mean 'gpt-live'\?\)"):
        check_voice("gpt-life")
