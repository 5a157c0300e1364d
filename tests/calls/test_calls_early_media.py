"""Prompts before the answer, as a telephone of the world hears them."""

from __future__ import annotations

import array
import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from company import NUMBER, Open, until
from hearing import longest_silence

from asterisk import ari
from asterisk.ari.models import ChannelDestroyed, Dial
from asterisk.instance import Instance
from asterisk.recording import Track
from tests.media_proxy import MediaProxy

pytestmark = pytest.mark.asterisk

FLOW = """
steps:
  - answer: {after: 300ms, early_media: true}
  - say: You hear this announcement although nobody has answered your call.
"""
LONG = "This is a long announcement, and nobody who calls here every day wants to hear it to its end once more."
WAV_HEADER = 44  # bytes


@dataclass
class Ear:
    """What a telephone that listens from the INVITE on was told by SIP, and what it heard."""

    heard: Track
    told: dict[str, float] = field(default_factory=dict)  # RINGING (180), PROGRESS (183), ANSWER (200): seconds
    sip_code: int | None = None  # of a refusal

    def sound(self, start: float, end: float) -> float:
        """Seconds of sound between two moments."""
        return sum(max(0.0, min(stop, end) - max(begin, start)) for begin, stop in self.heard.bursts(0.1))


async def listens(world: Instance, then: Callable[[], None] | None = None) -> Ear:
    """Call the company from a bridge whose recording begins before the call is dialled, until the company ends it.

    ``then`` is done when speech has been heard for a second.
    """
    name = f"ear-{uuid.uuid4().hex[:8]}"
    file = world.monitor.parent / "recording" / f"{name}.wav"
    ear = Ear(Track.__new__(Track))
    async with (
        ari.Client(world.ari_url, world.ari_user, world.ari_password, name) as client,
        client.events(channel_id=name) as events,
        asyncio.timeout(30),
        asyncio.TaskGroup() as group,
    ):
        if then is not None:
            group.create_task(_when_heard(file, then))
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
    await world.idle()
    ear.heard = await until(lambda: Track.read(file) if file.exists() else None, "the recording")
    return ear


async def _when_heard(file: Path, then: Callable[[], None]) -> None:
    def heard() -> bool:
        if not file.exists():
            return False
        sound = file.read_bytes()[WAV_HEADER:]
        so_far = Track(array.array("h", sound[: len(sound) // 2 * 2]))
        ringing = so_far.tone_share(440.0) + so_far.tone_share(480.0) > 0.5
        return not ringing and sum(end - start for start, end in so_far.bursts(0.1)) > 1.0

    await until(heard, "a second of speech")
    then()


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


@pytest.mark.parametrize("media", ["websocket", "audiosocket", "rtp"])
async def test_every_driver_carries_prompts_before_the_answer(open_company: Open, world: Instance, media: str) -> None:
    flow = f"steps:\n  - answer: {{early_media: true}}\n  - say: {LONG}\n  - reject: {{sip_code: 480}}\n"
    async with open_company(flow, asterisk={"media": media}) as house:
        ear = await listens(world)
        [record] = house.books.seen.values()
    assert ("ANSWER" in ear.told, ear.sip_code, record.answered, record.error) == (False, 480, None, "")
    assert ear.sound(ear.told["PROGRESS"], ear.heard.seconds) > 4.8
    assert longest_silence(ear.heard, *_spoken(ear)) < 0.5


@pytest.mark.parametrize(("fault", "silence"), [("cut", 1.0), ("fall_silent", 3.0)])
async def test_a_prompt_before_the_answer_goes_on_when_its_audio_is_replaced(
    open_company: Open, pbx: Instance, world: Instance, fault: str, silence: float
) -> None:
    """The caller hears the rest on another connection, and the call is still not answered."""
    flow = f"steps:\n  - answer: {{early_media: true}}\n  - say: {LONG}\n  - reject: {{sip_code: 480}}\n"
    async with MediaProxy(pbx) as proxy:
        async with open_company(flow, asterisk={"url": proxy.ari_url, "media": "websocket"}) as house:
            ear = await listens(world, getattr(proxy, fault))
            [record] = house.books.seen.values()
        assert proxy.seen == 2
    assert ("ANSWER" in ear.told, ear.sip_code, record.answered, record.error) == (False, 480, None, "")
    assert ear.sound(ear.told["PROGRESS"], ear.heard.seconds) > 4.8, "the whole announcement"
    assert longest_silence(ear.heard, *_spoken(ear)) < silence


async def test_audio_that_was_replaced_before_the_answer_goes_on_behind_it(
    open_company: Open, pbx: Instance, world: Instance
) -> None:
    flow = f"""
        steps:
          - answer: {{early_media: true}}
          - say: {LONG}
          - answer: {{}}
          - say: Now the call is answered.
          - hangup: {{}}
    """
    async with MediaProxy(pbx) as proxy:
        async with open_company(flow, asterisk={"url": proxy.ari_url, "media": "websocket"}) as house:
            ear = await listens(world, proxy.cut)
            [record] = house.books.seen.values()
        assert proxy.seen == 2
    assert list(ear.told) == ["PROGRESS", "ANSWER"]
    assert record.error == ""
    assert ear.sound(ear.told["PROGRESS"], ear.told["ANSWER"]) > 4.8
    assert ear.sound(ear.told["ANSWER"], ear.heard.seconds) > 1.0


async def test_a_handler_speaks_before_the_answer_too_when_audio_is_lost_for_good(
    open_company: Open, pbx: Instance, world: Instance
) -> None:
    """A step that fails answers nothing: the flow's handler is heard on a new connection, and refuses the call."""
    flow = f"""
        handlers: [{{event: error, goto: sorry}}]
        steps:
          - answer: {{early_media: true}}
          - say: {LONG}
          - reject: {{sip_code: 486}}
        sections:
          sorry: [{{say: We are sorry that you could not hear the rest of it.}}, {{reject: {{sip_code: 480}}}}]
    """
    async with MediaProxy(pbx) as proxy:

        def lose() -> None:
            proxy.refuses = 2
            proxy.cut()

        async with open_company(flow, asterisk={"url": proxy.ari_url, "media": "websocket"}) as house:
            ear = await listens(world, lose)
            [record] = house.books.seen.values()
    assert ("ANSWER" in ear.told, ear.sip_code, record.answered) == (False, 480, None)
    assert "audio of the call was lost" in record.error
    assert ear.sound(ear.told["PROGRESS"], ear.heard.seconds) > 3.0


def _spoken(ear: Ear) -> tuple[float, float]:
    """From the first word to the last."""
    bursts = [burst for burst in ear.heard.bursts(0.1) if burst[0] > ear.told["PROGRESS"] - 0.1]
    return bursts[0][0], bursts[-1][1]
