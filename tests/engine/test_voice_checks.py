"""Every installed voice says what it needs, one thing after the other, and is content when it has that."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from engine.demo import DemoError, check_voice
from providers.registry import names
from tests.emulators.google_speech.account import write_account

VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\b")


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if re.search("^HOOKFLASH_|API_KEY|ENDPOINT|CREDENTIALS", name):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def value_for(variable: str, folder: Path) -> str:
    """What an operator would set it to."""
    if variable.endswith("CREDENTIALS"):
        return str(write_account(folder / "account.json"))
    usual = {"ENDPOINT": "https://vendor.example", "REGION": "westeurope"}
    parts = {"LISTENING": "openai", "TEXT": "chat", "SPEECH": "azure-speech"}
    return {**usual, **parts}.get(variable.rpartition("_")[2], "test-key-1")


@pytest.mark.parametrize("voice", sorted({*names()} - {"rehearsal"}))
def test_what_is_missing_is_named_until_nothing_is(voice: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    given: set[str] = set()
    for _ in range(10):
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
        monkeypatch.setenv(variable, value_for(variable, tmp_path))
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
