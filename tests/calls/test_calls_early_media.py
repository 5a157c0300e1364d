"""Prompts before the answer, as a telephone of the world hears them."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass, field

import pytest
from company import NUMBER, Open, until

from asterisk import ari
from asterisk.ari.models import ChannelDestroyed, Dial
from asterisk.instance import Instance
from asterisk.recording import Track

pytestmark = pytest.mark.asterisk

FLOW = """
steps:
  - answer: {after: 300ms, early_media: true}
  - say: You hear this announcement although nobody has answered your call.
"""


@dataclass
class Ear:
    """What a telephone that listens from the INVITE on was told by SIP, and what it heard."""

    heard: Track
    told: dict[str, float] = field(default_factory=dict)  # RINGING (180), PROGRESS (183), ANSWER (200): seconds
    sip_code: int | None = None  # of a refusal

    def sound(self, start: float, end: float) -> float:
        """Seconds of sound between two moments."""
        return sum(max(0.0, min(stop, end) - max(begin, start)) for begin, stop in self.heard.bursts(0.1))


async def listens(world: Instance) -> Ear:
    """Call the company from a bridge whose recording begins before the call is dialled, until the company ends it."""
    name = f"ear-{uuid.uuid4().hex[:8]}"
    ear = Ear(Track.__new__(Track))
    async with (
        ari.Client(world.ari_url, world.ari_user, world.ari_password, name) as client,
        client.events(channel_id=name) as events,
        asyncio.timeout(30),
    ):
        await client.channels.create(channel_id=name, endpoint=f"PJSIP/{NUMBER}@pbx", app=name, formats="ulaw")
        async for event in events:
            if event.type == "StasisStart":  # before it, no bridge takes it
                break
        bridge = await client.bridges.create(type="mixing")
        await client.bridges.add_channel(bridge_id=bridge.id, channel=[name])
        await client.bridges.record(bridge_id=bridge.id, name=name, format="wav")
        began = time.monotonic()
        await client.channels.dial(channel_id=name, timeout=20)
        async for event in events:
            if isinstance(event, Dial) and event.dialstatus:
                ear.told[event.dialstatus] = time.monotonic() - began
            if isinstance(event, ChannelDestroyed):
                ear.sip_code = event.tech_cause
                break
            if event.type == "StasisEnd" and "ANSWER" in ear.told:  # nothing follows it
                break
        await client.bridges.destroy(bridge_id=bridge.id)
    file = world.monitor.parent / "recording" / f"{name}.wav"
    await world.idle()
    ear.heard = await until(lambda: Track.read(file) if file.exists() else None, "the recording")
    return ear


async def test_a_prompt_is_heard_before_the_answer_and_the_next_one_behind_it(
    open_company: Open, world: Instance
) -> None:
    flow = FLOW + "  - answer: {}\n  - say: Now the call is answered.\n  - hangup: {}\n"
    async with open_company(flow) as house:
        ear = await listens(world)
        [record] = house.books.seen.values()
    assert list(ear.told) == ["RINGING", "PROGRESS", "ANSWER"]
    assert ear.told["PROGRESS"] == pytest.approx(0.3, abs=0.25)
    assert ear.sound(ear.told["PROGRESS"], ear.told["ANSWER"]) > 2.5, "the whole announcement"
    early = ear.heard.part(ear.told["PROGRESS"] + 0.2, ear.told["ANSWER"])
    assert early.tone_share(440.0) + early.tone_share(480.0) < 0.2, "speech, not the telephone's own ringing"
    assert ear.sound(ear.told["ANSWER"], ear.heard.seconds) > 1.0
    assert record.answered is not None
    assert (record.answered - record.started).total_seconds() == pytest.approx(ear.told["ANSWER"], abs=0.3)


async def test_a_call_is_told_something_and_refused_without_ever_being_answered(
    open_company: Open, world: Instance
) -> None:
    async with open_company(FLOW + "  - reject: {sip_code: 480}\n") as house:
        ear = await listens(world)
        [record] = house.books.seen.values()
    assert "ANSWER" not in ear.told
    assert ear.sip_code == 480
    assert ear.sound(ear.told["PROGRESS"], ear.heard.seconds) > 2.5
    assert record.answered is None


async def test_a_step_that_listens_answers(open_company: Open, world: Instance) -> None:
    flow = FLOW + "  - menu: {say: Press a key., timeout: 1s, retries: 0}\n    catch: []\n  - hangup: {}\n"
    async with open_company(flow):
        ear = await listens(world)
    assert list(ear.told) == ["RINGING", "PROGRESS", "ANSWER"]
    assert ear.sound(ear.told["PROGRESS"], ear.told["ANSWER"]) > 2.5
