import subprocess
import sys

import pytest

from providers.registry import load, names
from providers.voice import VoiceError


def test_our_voices_are_installed() -> None:
    assert {"openai", "rehearsal"} <= set(names())


def test_loads_a_voice_by_name() -> None:
    assert load("openai", {"api_key": "sk-x"}).name == "openai"


def test_an_unknown_voice_is_named_with_the_nearest_and_all() -> None:
    with pytest.raises(VoiceError, match=r"unknown voice 'opanai' \(did you mean 'openai'\?\); installed: .*rehearsal"):
        load("opanai", {})


def test_a_missing_key_names_the_variable_that_sets_it() -> None:
    with pytest.raises(VoiceError, match="OPENAI_API_KEY"):
        load("openai", {})


def test_listing_the_voices_imports_none() -> None:
    code = (
        "import sys, providers.registry as r; r.names(); print([m for m in sys.modules if m in ('aiohttp', 'openai')])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
