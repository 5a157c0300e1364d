"""The client and a real Asterisk. Local channels are the callers, so no SIP is needed."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp
import pytest

from asterisk import ari
from asterisk.ari.models import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelEnteredBridge,
    ChannelHangupRequest,
    ChannelLeftBridge,
    ChannelVarset,
    Event,
    PlaybackFinished,
    StasisEnd,
    StasisStart,
)
from asterisk.sandbox import Instance

pytestmark = pytest.mark.asterisk

EventT = TypeVar("EventT", bound=Event)


async def until(stream: ari.EventStream, kind: type[EventT], seconds: float = 5) -> EventT:
    """The next event of a type."""
    async with asyncio.timeout(seconds):
        async for told in stream:
            if isinstance(told, kind):
                return told
    raise AssertionError(f"the stream ended before {kind.__name__}")


def halves(channel_id: str) -> list[str]:
    """The ids of both halves of a Local channel."""
    return [channel_id, f"{channel_id};2"]


async def gone(stream: ari.EventStream) -> None:
    """Wait for the end of both halves."""
    ended: set[str] = set()
    while len(ended) < 2:
        ended.add((await until(stream, ChannelDestroyed)).channel.id)


@asynccontextmanager
async def leg(client: ari.Client, extension: str, **more: Any) -> AsyncIterator[tuple[ari.Channel, ari.EventStream]]:
    """A Local channel whose first half is in our application, and its events; both halves are gone afterwards."""
    channel_id = ari.new_id("leg")
    async with client.events(channel_id=halves(channel_id)) as stream:
        channel = await client.channels.originate(
            endpoint=f"Local/{extension}@ari-test/n", app=client.app, channel_id=channel_id, **more
        )
        await until(stream, StasisStart)
        try:
            yield channel, stream
        finally:
            with contextlib.suppress(ari.NotFound):
                await channel.hangup()
                await gone(stream)


async def test_a_call_begins_talks_and_ends(real: ari.Client) -> None:
    channel_id = ari.new_id("leg")
    async with real.events(channel_id=halves(channel_id)) as stream:
        made = await real.channels.originate(
            endpoint="Local/wait@ari-test/n",
            app=real.app,
            app_args="flow,did",
            channel_id=channel_id,
            caller_id='"Ann" <+12125550100>',
            variables={"GREETING": "one, two; three", "CALLERID(num)": "+12125550199"},
        )
        assert made.id == channel_id
        started = await until(stream, StasisStart)
        assert started.args == ["flow", "did"]
        assert started.channel.state == "Up"
        assert started.channel.client is real
        told = await started.channel.get_channel_var(variable="GREETING")
        assert told.value == "one, two; three"
        await started.channel.set_channel_var(variable="MOOD", value="good & well + 100 %")
        both = await started.channel.get_channel_vars(variables=["MOOD", "CALLERID(num)"])
        assert both.variables["MOOD"] == "good & well + 100 %"
        await started.channel.hangup(reason="busy")
        await until(stream, StasisEnd)
        causes = {told.channel.id: told.cause for told in [await until(stream, ChannelDestroyed) for _ in range(2)]}
        assert causes[channel_id] == 17


async def test_digits_come_as_events_to_callbacks_of_the_channel(real: ari.Client) -> None:
    digits: list[str] = []
    done = asyncio.Event()

    async def on_digit(channel: ari.Channel, told: ChannelDtmfReceived) -> None:
        digits.append(told.digit)
        assert told.channel.id == channel.id
        if told.digit == "#":
            done.set()

    async with leg(real, "digits") as (channel, _):
        subscription = channel.on_event(ChannelDtmfReceived, on_digit)
        await asyncio.wait_for(done.wait(), 5)
        subscription.close()
    assert digits == ["1", "2", "#"]


async def test_two_legs_in_a_bridge(real: ari.Client) -> None:
    bridge_id = ari.new_id("bridge")
    async with (
        real.events(bridge_id=bridge_id) as around,
        leg(real, "wait") as (first, _),
        leg(real, "wait") as (second, _),
    ):
        bridge = await real.bridges.create_with_id(bridge_id=bridge_id, type="mixing,dtmf_events,proxy_media")
        await bridge.add_channel(channel=[first.id, second.id])
        entered = {(await until(around, ChannelEnteredBridge)).bridge.id for _ in range(2)}
        assert entered == {bridge_id}
        assert set((await bridge.get()).channels) == {first.id, second.id}
        await bridge.remove_channel(channel=first.id)
        assert (await until(around, ChannelLeftBridge)).channel.id == first.id
        await bridge.destroy()


async def test_a_playback_ends_with_an_event_of_its_own(real: ari.Client) -> None:
    finished: asyncio.Queue[str] = asyncio.Queue()
    async with leg(real, "wait") as (channel, _):
        playback = await channel.play(media="tone:1000", playback_id=ari.new_id("play"))
        playback.on_event(PlaybackFinished, lambda one, told: finished.put_nowait(f"{one.id} {told.playback.state}"))
        await playback.stop()
        assert await asyncio.wait_for(finished.get(), 5) == f"{playback.id} done"


async def test_a_recording_can_be_fetched(real: ari.Client) -> None:
    name = ari.new_id("take")
    async with leg(real, "tone") as (channel, stream):
        recording = await channel.record(name=name, format="wav", max_duration_seconds=1)
        assert recording.name == name
        async with asyncio.timeout(5):
            async for told in stream:
                if told.type == "RecordingFinished":
                    break
    stored = await real.recordings.get_stored(recording_name=name)
    sound = await stored.get_stored_file()
    assert sound[:4] == b"RIFF"
    assert len(sound) > 8000
    await stored.delete_stored()
    with pytest.raises(ari.NotFound):
        await real.recordings.get_stored(recording_name=name)


async def test_asterisks_words_are_in_the_errors(real: ari.Client) -> None:
    with pytest.raises(ari.NotFound, match="404 Channel not found"):
        await real.channels.answer(channel_id="nobody")
    with pytest.raises(ari.BadRequest, match="400 "):
        await real.channels.originate(endpoint="", app=real.app)
    bridge = await real.bridges.create()
    async with leg(real, "wait") as (channel, _):
        with pytest.raises(ari.NotInStasis, match="422 Channel not in Stasis application"):
            await bridge.add_channel(channel=f"{channel.id};2")
        channel_id = ari.new_id("leg")
        async with real.events(channel_id=channel_id, types=["StasisStart"]) as stream, asyncio.timeout(5):
            undialled = await real.channels.create(
                endpoint="Local/silent@ari-test/n", app=real.app, channel_id=channel_id, formats="ulaw"
            )
            await anext(stream)  # before, it is no channel of ours: 409
        with pytest.raises(ari.PreconditionFailed, match="412 Channel in invalid state"):
            await undialled.continue_in_dialplan(context="ari-test", extension="wait")
        await undialled.hangup()
    await bridge.destroy()


async def test_a_wrong_password(asterisk: Instance) -> None:
    with pytest.raises(ari.Unauthorized, match="401"):
        async with ari.Client(asterisk.ari_url, asterisk.ari_user, "wrong", ari.app_name()):
            pass


async def test_external_media_has_an_id_of_its_own_and_asterisk_survives_a_second_try(
    real: ari.Client, asterisk: Instance
) -> None:
    channel_id = ari.new_id("media")
    async with real.events(channel_id=channel_id) as stream, aiohttp.ClientSession() as session:
        media = await real.channels.external_media(
            app=real.app,
            channel_id=channel_id,
            transport="websocket",
            encapsulation="none",
            connection_type="server",
            format="ulaw",
            transport_data="f(json)",
        )
        assert media.channelvars is not None
        place = f"http://127.0.0.1:{asterisk.http_port}/media/{media.channelvars['MEDIA_WEBSOCKET_CONNECTION_ID']}"
        async with session.ws_connect(place, protocols=("media",), compress=0):
            assert (await until(stream, StasisStart)).channel.id == channel_id
            with pytest.raises(ValueError, match="posted before"):
                await real.channels.external_media(app=real.app, channel_id=channel_id, format="ulaw")
            assert asterisk.running
            await media.hangup()
        await until(stream, ChannelDestroyed)


async def test_the_filter_keeps_noise_in_asterisk(asterisk: Instance, real: ari.Client) -> None:
    address = (asterisk.ari_url, asterisk.ari_user, asterisk.ari_password)
    async with ari.Client(*address, ari.app_name(), quiet=()) as loud:
        got: asyncio.Queue[str] = asyncio.Queue()
        loud.on_event(ChannelVarset, lambda told: got.put_nowait(told.variable))
        for client in (loud, real):
            async with leg(client, "wait") as (channel, stream):
                await channel.set_channel_var(variable="NOISE", value="1")
                if client is loud:
                    while await asyncio.wait_for(got.get(), 5) != "NOISE":
                        pass
                await channel.hangup()
                told = await until(stream, Event)
                while told.type != "StasisEnd":
                    assert client is loud or told.type not in ari.NOISY
                    told = await until(stream, Event)
                await gone(stream)


async def test_the_second_of_a_name_takes_it_and_the_first_does_not_fight(asterisk: Instance, real: ari.Client) -> None:
    address = (asterisk.ari_url, asterisk.ari_user, asterisk.ari_password)
    async with ari.Client(*address, real.app) as thief:
        with pytest.raises(ari.Replaced):
            await asyncio.wait_for(real.run(), 5)
        assert real.state is ari.State.LOST
        async with leg(thief, "wait"):
            pass
        assert thief.state is ari.State.CONNECTED


class Cable:
    """The network between a client and Asterisk, as a TCP proxy that can be cut. Each cut breaks all connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def laid(self) -> AsyncIterator[str]:
        """The address to use instead of Asterisk's."""
        async with await asyncio.start_server(self._join, "127.0.0.1") as server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            self.cut()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += [writer, far_writer]
        with contextlib.suppress(OSError):
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while part := await reader.read(65536):
            writer.write(part)
        writer.close()


async def test_a_call_outlives_a_gap_in_the_events(asterisk: Instance) -> None:
    cable = Cable(asterisk.http_port)
    async with (
        cable.laid() as address,
        ari.Client(address, asterisk.ari_user, asterisk.ari_password, ari.app_name()) as client,
        leg(client, "wait") as (channel, stream),
    ):
        cable.cut()
        told = await until(stream, ari.Reconciled)
        assert told.has_channel(channel.id)
        assert channel.id in told.subscribed.channel_ids
        await asyncio.wait_for(client.connected.wait(), 5)
        await channel.hangup()
        await until(stream, ChannelHangupRequest)
        await gone(stream)


async def test_an_asterisk_that_dies_and_comes_back(own_asterisk: Instance) -> None:
    address = (own_asterisk.ari_url, own_asterisk.ari_user, own_asterisk.ari_password)
    states: asyncio.Queue[ari.State] = asyncio.Queue()
    async with ari.Client(*address, ari.app_name()) as client:
        client.on_state(states.put_nowait)
        async with leg(client, "wait") as (channel, stream):
            await own_asterisk.kill()
            assert await asyncio.wait_for(states.get(), 5) is ari.State.CONNECTING
            with pytest.raises(ari.Unreachable, match="cannot be reached"):
                await channel.get()
            await own_asterisk.restart()
            told = await until(stream, ari.Reconciled, 20)
            assert not told.has_channel(channel.id)
            assert await asyncio.wait_for(states.get(), 5) is ari.State.CONNECTED
        async with leg(client, "wait"):
            pass


async def test_asterisk_is_as_its_swagger_files_say(real: ari.Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "asterisk.ari.record")
    info = await real.asterisk.get_info(only=["system", "build", "status", "config"])
    assert info.system is not None
    assert info.status is not None
    assert info.status.startup_time.year > 2000
    assert any(module.name == "res_ari.so" for module in await real.asterisk.list_modules())
    async with leg(real, "digits", variables={"A": "1"}) as (channel, stream):
        assert channel.id in {each.id for each in await real.channels.list()}
        assert (await channel.get()).name == channel.name
        await real.applications.list()
        await real.endpoints.list()
        await real.sounds.list()
        await real.device_states.list()
        await real.recordings.list_stored()
        await real.bridges.list()
        await until(stream, ChannelDtmfReceived)
    assert "not as described" not in caplog.text


async def test_fifty_calls_at_once_each_in_order(real: ari.Client) -> None:
    seen: dict[str, list[str]] = {}

    async def note(channel: ari.Channel, told: Event) -> None:
        await asyncio.sleep(0)
        seen.setdefault(channel.id, []).append(told.type)

    for kind in ("StasisStart", "StasisEnd", "ChannelDestroyed"):
        real.on_channel_event(kind, note)

    async def call() -> str:
        async with leg(real, "wait") as (channel, _):
            return channel.id

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        calls = [tasks.create_task(call()) for _ in range(50)]
    ids = {each.result() for each in calls}
    while real._dispatcher.lanes:
        await asyncio.gather(*real._dispatcher._tasks)
    assert len(ids) == 50
    for channel_id in ids:
        assert seen[channel_id] == ["StasisStart", "StasisEnd", "ChannelDestroyed"]
