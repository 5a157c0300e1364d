"""The provider dies in the middle of a sentence: the caller hears the next voice within two seconds, and it knows."""

from __future__ import annotations

import asyncio
import json

import pytest
from company import Open
from hearing import singing

from asterisk.recording import Track
from tests.emulators.openai_realtime import Call, Say
from tests.emulators.vendors import VENDORS

pytestmark = pytest.mark.asterisk

GREETING, ASKS = "Hello, what can I do for you?", "A table for four tonight, my name is Ann."
CUT_OFF = "Of course. We have a table at seven, and another one at nine in the garden, which is the nicer one."
NEXT = "Seven or nine, which one do you want?"
PITCHES = {GREETING: 400.0, CUT_OFF: 600.0, NEXT: 900.0}
WITHIN = 2.0  # s from the death of one to the first sound of the other

FLOW = f"""
    steps:
      - id: talk
        converse:
          provider: [openai, grok]
          greeting: "{GREETING}"
          bridge: One moment.
          prompt: You take reservations for Bella's.
          exits: {{reserved: {{description: The table is reserved.}}}}
        outcomes: {{silence: [], max_duration: [], provider_error: []}}
      - hangup: {{}}
"""


async def test_the_next_voice_is_heard_and_knows_what_was_said(open_company: Open) -> None:
    first, second = VENDORS["openai"], VENDORS["grok"]
    dies = first.emulate(script=[Say(CUT_OFF)], heard=[ASKS], voice=singing(PITCHES), pace=1.0)
    lives = second.emulate(script=[Call("finish", {"exit": "reserved"}, say=NEXT)], voice=singing(PITCHES))
    async with dies, lives:
        voices = {"openai": first.settings_for(dies), "grok": second.settings_for(lives)}
        async with open_company(FLOW, voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says(ASKS)
            await caller.hears_something()
            await asyncio.sleep(1.0)  # in the middle of the sentence
            await dies.close()
            record = await house.ended(caller)
            _, heard = await caller.recording()

    cut_at, next_at = last_of(heard, PITCHES[CUT_OFF]), first_of(heard, PITCHES[NEXT])
    assert cut_at < next_at
    assert next_at - cut_at < WITHIN, f"the next voice was heard {next_at - cut_at:.2f} s after the last of the first"
    assert record.outcome == "completed"
    assert [step.outcome for step in record.steps if step.verb == "converse"] == ["reserved"]

    told = json.dumps([talk.client_events for talk in lives.conversations])
    for words in (GREETING, ASKS, "You take reservations", "You take over this conversation"):
        assert words in told, f"the next voice was never told: {words}"
    assert "We have a table" in told, "it knows how the sentence began that was cut off"
    assert "which is the nicer one" not in told, "and nothing that the caller has not heard"
    said = [(entry.role, entry.interrupted) for entry in record.transcript]
    assert said == [("voice", False), ("caller", False), ("voice", True), ("system", False), ("voice", False)]


def moments(heard: Track, hertz: float) -> list[float]:
    """When a tone is heard, in tenths of a second that hold little else."""
    step = 0.1
    count = int(heard.seconds / step)
    return [n * step for n in range(count) if heard.part(n * step, (n + 1) * step).tone_share(hertz) > 0.8]


def first_of(heard: Track, hertz: float) -> float:
    return moments(heard, hertz)[0]


def last_of(heard: Track, hertz: float) -> float:
    return moments(heard, hertz)[-1] + 0.1
