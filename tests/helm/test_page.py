"""The page for operators: the values on it render, its commands and alerts exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from rendering import CHART, MODES, objects, workload

PAGE = (Path(__file__).parents[2] / "docs" / "kubernetes.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("block", BLOCKS, ids=[block.splitlines()[0] for block in BLOCKS])
def test_values_on_the_page_are_right(block: str) -> None:
    assert workload(objects(yaml.safe_load(block)))


def test_the_first_installation_needs_nothing_else() -> None:
    found = objects(yaml.safe_load(BLOCKS[0]))
    (engine,) = workload(found)["spec"]["template"]["spec"]["containers"]
    assert {"name": "HOOKFLASH_VOICES_OPENAI_API_KEY_FILE", "value": "/run/secrets/hookflash/openai"} in engine["env"]


def test_the_page_lists_every_alert_and_every_way_in() -> None:
    rules = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert {rule["alert"] for rule in rules} == set(re.findall(r"`(Hookflash\w+)`", PAGE))
    ways = {values["sip"]["exposure"] for values in MODES.values() if "sip" in values}
    assert ways == set(re.findall(r"^\| `([a-z]\w+)` \| ", PAGE, re.MULTILINE))
