"""The call for which all of this exists: greeted, interrupted, spoken to, handed to a person, and written down."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from company import BUSY, TEAMS, Company, Open
from hearing import interruption, seconds_of, singing

import flows
from asterisk import ari
from asterisk.instance import Instance
from asterisk.recording import Track
from asterisk.world import Caller
from engine.record import CallRecord
from tests.emulators.openai_realtime import Emulator, Say

pytestmark = pytest.mark.asterisk

DEMO = Path(flows.__file__).parent / "examples" / "demo"
CALLERS_TONE, PERSONS_TONE = 700.0, 1000.0  # Hz
SILENT_WITHIN = 0.2  # s from hearing that it is speech to silence at the caller, with RTP both ways

GREETING = "Welcome to the company. You may interrupt me whenever you like, and zero always leads to a person."
ANSWER = "Of course. Which question?"
PITCHES = {GREETING: 440.0, ANSWER: 600.0}

FLOW = f"""
    handlers:
      - {{event: dtmf, digits: "0", goto: person}}
    steps:
      - answer: {{}}
      - id: talk
        converse:
          provider: openai
          greeting: "{GREETING}"
          prompt: You are the receptionist.
          exits: {{goodbye: {{description: All is said.}}}}
        outcomes: {{silence: [], max_duration: [], provider_error: []}}
      - hangup: {{}}
    sections:
      person:
        - id: handoff
          transfer:
            attempts:
              - {{ring: serial, targets: ["tel:{BUSY}"], timeout: 10s}}
              - {{ring: simultaneous, targets: ["teams:{TEAMS}"], timeout: 10s}}
          outcomes: {{failed: [{{hangup: {{result: nobody}}}}]}}
"""


async def interrupted_and_handed_over(house: Company, caller: Caller) -> None:
    """What the caller does in both tests, up to the talk with the person."""
    await caller.hears_something()
    await asyncio.sleep(1.5)  # listens for a while
    await caller.says("Excuse me, I have a question.")
    await caller.hears_nothing()
    await caller.hears_something()
    await caller.presses("0")
    await house.connected(caller)
    assert await secured(house.pbx) == ("1", "1"), "(signalling, media) to the Teams side must be encrypted"
    await caller.sounds(CALLERS_TONE, 1.5)
    await caller.hangs_up()


async def secured(pbx: Instance) -> tuple[str, str]:
    """Whether the leg to Teams uses TLS and SRTP, as Asterisk sees it."""
    async with ari.Client(pbx.ari_url, pbx.ari_user, pbx.ari_password) as client:
        [leg] = [channel for channel in await client.channels.list() if channel.name.startswith("PJSIP/teams-")]
        signalling = await client.channels.get_channel_var(channel_id=leg.id, variable="CHANNEL(pjsip,secure)")
        media = await client.channels.get_channel_var(channel_id=leg.id, variable="CHANNEL(rtp,secure)")
    return signalling.value, media.value


def check_the_record(record: CallRecord) -> None:
    assert (record.outcome, record.hangup_by, record.error) == ("handed_off", "caller", "")
    assert record.started <= record.answered <= record.ended  # type: ignore[operator]
    busy, teams = record.attempts
    assert (busy.target, busy.status, busy.sip_code, busy.q850) == (f"tel:{BUSY}", "busy", 486, 17)
    assert (teams.target, teams.status, teams.sip_code) == (f"teams:{TEAMS}", "answered", 200)
    assert all(attempt.step == "handoff" for attempt in record.attempts)
    caller, first, second = record.legs
    assert [leg.kind for leg in record.legs] == ["caller", "target", "target"]
    assert (caller.cause, first.cause, first.sip_code, second.cause) == (16, 17, 486, 16)
    assert first.answered is None
    assert second.answered is not None
    assert all(leg.ended is not None for leg in record.legs)
    assert record.timings.keys() >= {"voice_ready_ms", "first_audio_ms", "barge_in_ms"}
    assert record.timings["barge_in_ms"] < 60


def check_the_sound(said: Track, heard: Track, theirs: Track) -> None:
    _, spoke, noticed, stopped = interruption(said, heard)
    assert spoke > heard.bursts()[0][0] + 1.0
    assert stopped - noticed < SILENT_WITHIN, f"silent {(stopped - noticed) * 1000:.0f} ms after speech was noticed"
    last = said.bursts()[-1][0]
    assert heard.part(last + 0.2, last + 1.3).tone_share(PERSONS_TONE) > 0.9, "the caller must hear the person"
    there = theirs.bursts()[-1][0]
    assert theirs.part(there + 0.2, there + 1.3).tone_share(CALLERS_TONE) > 0.9, "the person must hear the caller"


async def test_with_the_offline_voice(open_company: Open, tmp_path: Path) -> None:
    async with open_company(flows=DEMO, storage=tmp_path) as house:
        caller = await house.call()
        await interrupted_and_handed_over(house, caller)
        record = await house.ended(caller)
        check_the_record(record)
        check_the_sound(*await caller.recording(), await house.heard_by(TEAMS))
        spoken = [entry for entry in record.transcript if entry.role == "voice"]
        assert spoken[0].text.startswith("Welcome to Hookflash")
        assert spoken[0].interrupted
        assert spoken[1].text.startswith("I heard you, and stopped at once.")
        assert [step.verb for step in record.steps] == ["answer", "record", "converse", "say", "transfer"]


async def test_with_openai(open_company: Open) -> None:
    emulator = Emulator(
        script=[Say(ANSWER)], heard=["Excuse me, I have a question."], voice=singing(PITCHES), api_key="test-key"
    )
    async with (
        emulator,
        open_company(FLOW, voices={"openai": {"api_key": "test-key", "base_url": emulator.url}}) as house,
    ):
        caller = await house.call()
        await interrupted_and_handed_over(house, caller)
        record = await house.ended(caller)
        check_the_record(record)
        said, heard = await caller.recording()
        check_the_sound(said, heard, await house.heard_by(TEAMS))
        assert [(entry.role, entry.text, entry.interrupted) for entry in record.transcript][:2] == [
            ("voice", GREETING, True), ("caller", "Excuse me, I have a question.", False),
        ]  # fmt: skip
        assert record.tokens[0].provider == "openai"
        assert record.tokens[0].output_audio > 0
        conversation = emulator.conversations[0]
        truncated = await conversation.expect("conversation.item.truncate")
        began, _, _, stopped = interruption(said, heard)
        assert truncated["audio_end_ms"] == pytest.approx((stopped - began) * 1000, abs=60)
        assert (stopped - began) < seconds_of(GREETING) - 1
        assert emulator.open_sessions == 0
        assert emulator.oracle.problems == []
        assert emulator.oracle.checked > 100
