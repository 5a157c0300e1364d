"""The same flow on every voice, through a real Asterisk: greeting, interruption, question, tool, exit, hand-off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby

import pytest
from company import TEAMS, Open, until
from hearing import interruption, singing

from engine.record import CallRecord
from tests.emulators.openai_realtime import Call, Say
from tests.emulators.vendors import VENDORS

pytestmark = pytest.mark.asterisk

GREETING = "Welcome to Bella's, where everything is fresh. What may it be?"
ANSWER, GOODBYE = "Of course, which dish?", "We have it. One moment."
ASKS, DISH = "Excuse me, I have a question.", "The soup, please."
PITCHES = {GREETING: 440.0, ANSWER: 600.0, GOODBYE: 800.0}
PERSONS_TONE = 1000.0  # Hz
SILENT_WITHIN = 0.25  # s from hearing that it is speech to silence at the caller

FLOW = f"""
    vars: {{dish: {{type: string, default: ""}}}}
    steps:
      - id: talk
        converse:
          provider: PROVIDER
          greeting: "{GREETING}"
          prompt: You take orders.
          tools:
            stock:
              description: Whether there is enough of a dish.
              input: {{dish: {{type: string}}}}
              set: {{dish: "${{input.dish}}"}}
          exits: {{person: {{description: The caller wants a person.}}}}
          options:
            rehearsal:
              script:
                - hear: any
                - say: "{ANSWER}"
                - hear: any
                - call: {{tool: stock, with: {{dish: soup}}}}
                - say: "{GOODBYE}"
                - finish: {{exit: person}}
        outcomes: {{silence: [], max_duration: [], provider_error: []}}
      - id: handoff
        transfer: {{attempts: [{{targets: ["teams:{TEAMS}"], timeout: 10s}}]}}
        outcomes: {{failed: [{{hangup: {{result: nobody}}}}]}}
"""


@asynccontextmanager
async def served(voice: str) -> AsyncIterator[dict[str, dict[str, str]]]:
    """The settings of a voice whose vendor answers."""
    if voice not in VENDORS:
        yield {}
        return
    vendor = VENDORS[voice]
    script = [Say(ANSWER), Call("stock", {"dish": "soup"}), Call("finish", {"exit": "person"}, say=GOODBYE)]
    emulator = vendor.emulate(script=script, heard=[ASKS, DISH], voice=singing(PITCHES), pace=1.5)
    async with emulator:
        yield {voice: vendor.settings_for(emulator)}
        await until(lambda: emulator.open_sessions == 0, "no session is left")
    assert emulator.oracle is not None
    assert emulator.oracle.problems == []


@pytest.mark.parametrize("voice", [*VENDORS, "rehearsal"])
async def test_a_whole_call(open_company: Open, voice: str) -> None:
    async with served(voice) as voices, open_company(FLOW.replace("PROVIDER", voice), voices=voices) as house:
        caller = await house.call()
        await caller.hears_something()
        await asyncio.sleep(1.0)  # listens for a while
        await caller.says(ASKS)
        await caller.hears_nothing()
        await caller.hears_something()
        await caller.hears_nothing()
        await caller.says(DISH)
        await house.connected(caller)
        await caller.sounds(700.0, 0.6)
        await caller.hangs_up()
        record = await house.ended(caller)
        said, heard = await caller.recording()

    check(record, understands=voice in VENDORS)
    duplex = voice in VENDORS and VENDORS[voice].capabilities.duplex  # it stops by itself, and sends 100 ms at once
    assert duplex or record.timings["barge_in_ms"] < 60
    _, spoke, noticed, stopped = interruption(said, heard)
    assert spoke > heard.bursts()[0][0] + 0.8
    silent = stopped - noticed
    assert silent < SILENT_WITHIN * (2 if duplex else 1), f"silent {silent * 1000:.0f} ms after speech was noticed"
    last = said.bursts()[-1][0]
    assert heard.part(last + 0.1, last + 0.5).tone_share(PERSONS_TONE) > 0.9, "the caller hears the person"


def check(record: CallRecord, *, understands: bool) -> None:
    said: list[tuple[str, str]] = []
    for role, entries in groupby(record.transcript, lambda entry: entry.role):  # a turn may be heard in pieces
        if role == "caller":
            said.append((role, " ".join(entry.text for entry in entries)))
        elif role == "voice":
            said += [(role, entry.text) for entry in entries]
    expected = [("voice", GREETING), ("caller", ASKS), ("voice", ANSWER), ("caller", DISH), ("voice", GOODBYE)]
    if not understands:
        expected = [entry for entry in expected if entry[0] == "voice"]
    assert [text for _, text in said[1:]] == [text for _, text in expected[1:]]
    assert record.transcript[0].interrupted
    assert GREETING.startswith(record.transcript[0].text.rstrip("…")[:10])
    assert [(use.name, use.outcome) for use in record.tools] == [("stock", "ok")]
    assert [step.outcome for step in record.steps if step.verb == "converse"] == ["person"]
    assert [attempt.status for attempt in record.attempts] == ["answered"]
    assert record.outcome == "handed_off"
