"""What docs/voices.md and docs/writing-a-voice.md show must work as it stands there."""

import re
from pathlib import Path
from typing import Any

import yaml

from providers import assembled, azure_speech, azure_voice_live, gemini, google, gpt_live, grok, openai, rehearsal
from providers.script import FINISH, Call, parse
from providers.voice import Session

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def options(block: str) -> Any:
    [step] = yaml.safe_load(block)
    return step["converse"]["options"]


def test_the_script_can_be_followed() -> None:
    [script] = [yaml.safe_load(block)["script"] for block in blocks("voices.md", "yaml") if block.startswith("script:")]
    steps = parse(script)
    assert steps[-1] == Call(FINISH, {"exit": "ordered", "data": {"dish": "pizza", "price": "${result.price}"}})


def test_the_options_are_taken() -> None:
    examples = [options(block) for block in blocks("voices.md", "yaml") if "options:" in block]
    taken = {name: chosen for example in examples for name, chosen in example.items()}
    assert taken.keys() == {"openai", "google"}
    openai.provider({"api_key": "sk-x"}).voice(Session(options=taken["openai"]))
    google.provider({"api_key": "k", "project": "p"}).voice(Session(options=taken["google"]))


def test_every_option_is_documented() -> None:
    text = (DOCS / "voices.md").read_text()
    for voice in (openai, azure_speech, azure_voice_live, gemini, google, gpt_live, assembled, grok, rehearsal):
        for name in voice.OPTIONS:
            assert f"`{name}`" in text, (voice.__name__, name)
