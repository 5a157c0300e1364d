"""Events: who gets them, in what order, and what slow or failing callbacks do to others."""

import asyncio
import logging
from typing import Any

import pytest
from fake_ari import APP, BRIDGE, CHANNEL, FakeAri, event

from asterisk import ari
from asterisk.ari import dispatch
from asterisk.ari.dispatch import Backlog, Dispatcher, keys_in, parse_event
from asterisk.ari.models import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelEnteredBridge,
    Dial,
    Event,
    StasisEnd,
    StasisStart,
)
from asterisk.ari.stream import EventStream

PLAYBACK = {
    "id": "play-1",
    "media_uri": "sound:beep",
    "target_uri": "channel:chan-1",
    "language": "en",
    "state": "done",
}


def digit(key: str, channel_id: str = "chan-1") -> dict[str, Any]:
    return event("ChannelDtmfReceived", channel_id, digit=key, duration_ms=80)


async def settled(dispatcher: Dispatcher) -> None:
    """Wait until no callback runs or waits."""
    while dispatcher.lanes:
        await asyncio.gather(*dispatcher._tasks)


# -- through a socket


async def test_a_callback_gets_the_typed_event_and_a_live_channel(fake: FakeAri, client: ari.Client) -> None:
    fake.answers["POST", "/channels/chan-1/answer"] = (204, None)
    answered = asyncio.Event()

    async def on_start(told: StasisStart) -> None:
        assert told.args == ["a", "b"]
        assert told.replace_channel is None
        await told.channel.answer()
        answered.set()

    client.on_event("StasisStart", on_start)
    await fake.send(event("StasisStart", args=["a", "b"]))
    await asyncio.wait_for(answered.wait(), 2)
    assert fake.count("POST", "/channels/chan-1/answer") == 1


async def test_channel_and_bridge_events_hand_over_their_object(fake: FakeAri, client: ari.Client) -> None:
    got: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    client.on_channel_event("ChannelEnteredBridge", lambda channel, _: got.put_nowait(("channel", channel.id)))
    client.on_bridge_event(ChannelEnteredBridge, lambda bridge, told: got.put_nowait((told.type, bridge.id)))
    await fake.send(event("ChannelEnteredBridge", bridge=BRIDGE))
    told = {await asyncio.wait_for(got.get(), 2) for _ in range(2)}
    assert told == {("channel", "chan-1"), ("ChannelEnteredBridge", "bridge-1")}


async def test_garbage_on_the_socket_harms_nobody(
    fake: FakeAri, client: ari.Client, caplog: pytest.LogCaptureFixture
) -> None:
    got: asyncio.Queue[Event] = asyncio.Queue()
    client.on_event("StasisEnd", got.put_nowait)
    await fake.sockets[-1].send_str("this is no JSON")
    await fake.sockets[-1].send_str("[1, 2]")
    await fake.send({"no": "type"}, event("StasisEnd", None, channel="no channel"), event("StasisEnd"))
    first, second = await asyncio.wait_for(got.get(), 2), await asyncio.wait_for(got.get(), 2)
    assert isinstance(first, StasisEnd)
    assert (first.channel.id, second.channel.id) == ("", "chan-1")
    assert "not an event" in caplog.text


async def test_closing_from_a_callback_is_allowed(fake: FakeAri, client: ari.Client) -> None:
    async def on_end(_: Event) -> None:
        await client.close()

    client.on_event("StasisEnd", on_end)
    await fake.send(event("StasisEnd"))
    async with asyncio.timeout(2):
        await client.run()
    assert client.state is ari.State.CLOSED


async def test_a_filtered_type_cannot_be_subscribed_to(client: ari.Client) -> None:
    with pytest.raises(ValueError, match="ChannelVarset is filtered out"):
        client.on_event("ChannelVarset", print)


# -- the dispatcher alone


@pytest.fixture
async def dispatcher() -> Dispatcher:
    return Dispatcher(None)


async def test_only_the_subscribed_type_arrives_and_only_until_closed(dispatcher: Dispatcher) -> None:
    got: list[Event] = []
    subscription = dispatcher.subscribe("StasisStart", "", got.append)
    dispatcher.feed(event("StasisStart", args=[]))
    dispatcher.feed(event("StasisEnd"))
    await settled(dispatcher)
    assert [type(each) for each in got] == [StasisStart]
    subscription.close()
    subscription.close()
    dispatcher.feed(event("StasisStart", args=[]))
    await settled(dispatcher)
    assert len(got) == 1
    assert not dispatcher._callbacks


async def test_a_closed_subscription_gets_not_even_what_waits(dispatcher: Dispatcher) -> None:
    got: list[str] = []

    def once(told: Event) -> None:
        assert isinstance(told, ChannelDtmfReceived)
        got.append(told.digit)
        subscription.close()

    subscription = dispatcher.subscribe("ChannelDtmfReceived", "", once)
    for key in "12":
        dispatcher.feed(digit(key))
    await settled(dispatcher)
    assert got == ["1"]


async def test_events_of_other_channels_are_not_called_back(dispatcher: Dispatcher) -> None:
    got: list[Event] = []
    dispatcher.subscribe("ChannelDtmfReceived", "channel:chan-1", got.append)
    dispatcher.feed(digit("1", "chan-2"))
    dispatcher.feed(digit("2", "chan-1"))
    await settled(dispatcher)
    assert [each.digit for each in got if isinstance(each, ChannelDtmfReceived)] == ["2"]


async def test_unwanted_events_are_not_parsed(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []

    def counting(raw: Any, client: Any) -> Event:
        parsed.append(raw["type"])
        return parse_event(raw, client)

    monkeypatch.setattr(dispatch, "parse_event", counting)
    dispatcher.subscribe("StasisStart", "", lambda _: None)
    dispatcher.subscribe("StasisStart", "channel:chan-1", lambda _: None)
    dispatcher.feed(event("ChannelStateChange"))
    dispatcher.feed(event("StasisStart", args=[]))
    await settled(dispatcher)
    assert parsed == ["StasisStart"], "twice wanted, once parsed"


async def test_one_channel_in_order_and_channels_side_by_side(dispatcher: Dispatcher) -> None:
    got: list[tuple[str, str]] = []
    gate, passed = asyncio.Event(), asyncio.Event()

    async def slow(told: Event) -> None:
        assert isinstance(told, ChannelDtmfReceived)
        if told.channel.id == "slow" and told.digit == "1":
            await gate.wait()
        got.append((told.channel.id, told.digit))
        if got[-1] == ("fast", "3"):
            passed.set()

    dispatcher.subscribe("ChannelDtmfReceived", "", slow)
    for key in "123":
        dispatcher.feed(digit(key, "slow"))
        dispatcher.feed(digit(key, "fast"))
    await asyncio.wait_for(passed.wait(), 2)
    assert got == [("fast", "1"), ("fast", "2"), ("fast", "3")], "the slow one held nobody up"
    gate.set()
    await settled(dispatcher)
    assert got[3:] == [("slow", "1"), ("slow", "2"), ("slow", "3")]
    assert dispatcher.lanes == 0
    assert not dispatcher._tasks


async def test_different_types_of_one_channel_keep_their_order(dispatcher: Dispatcher) -> None:
    got: list[str] = []

    async def note(told: Event) -> None:
        await asyncio.sleep(0)
        got.append(told.type)

    for kind in ("StasisStart", "ChannelEnteredBridge", "PlaybackFinished", "StasisEnd"):
        dispatcher.subscribe(kind, "", note)
    dispatcher.feed(event("StasisStart", args=[]))
    dispatcher.feed(event("ChannelEnteredBridge", bridge=BRIDGE))
    dispatcher.feed(event("PlaybackFinished", None, playback=PLAYBACK))
    dispatcher.feed(event("StasisEnd"))
    await settled(dispatcher)
    assert got == ["StasisStart", "ChannelEnteredBridge", "PlaybackFinished", "StasisEnd"]


async def test_a_failing_callback_is_logged_with_its_event(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[str] = []

    def fails(told: Event) -> None:
        assert isinstance(told, ChannelDtmfReceived)
        if told.digit == "1":
            raise ZeroDivisionError("on purpose")
        got.append(told.digit)

    dispatcher.subscribe("ChannelDtmfReceived", "", fails)
    for key in "12":
        dispatcher.feed(digit(key))
    await settled(dispatcher)
    assert got == ["2"]
    assert "ZeroDivisionError: on purpose" in caplog.text
    assert '"digit":"1"' in caplog.text


async def test_a_callback_whose_wait_was_cancelled_does_not_end_the_others(dispatcher: Dispatcher) -> None:
    got: list[str] = []

    async def gives_up(told: Event) -> None:
        assert isinstance(told, ChannelDtmfReceived)
        got.append(told.digit)
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        await never

    dispatcher.subscribe("ChannelDtmfReceived", "", gives_up)
    for key in "12":
        dispatcher.feed(digit(key))
    await settled(dispatcher)
    assert got == ["1", "2"]


async def test_close_cancels_callbacks_that_run(dispatcher: Dispatcher) -> None:
    cancelled = asyncio.Event()

    async def long(_: Event) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    dispatcher.subscribe("StasisStart", "", long)
    dispatcher.feed(event("StasisStart", args=[]))
    await asyncio.sleep(0)
    await dispatcher.close()
    assert cancelled.is_set()
    assert dispatcher.lanes == 0


def test_an_unknown_event_is_still_an_event() -> None:
    told = parse_event(event("ChannelTeleported", speed=9), None)
    assert type(told) is Event
    assert told.model_extra is not None
    assert told.model_extra["speed"] == 9
    assert keys_in(event("ChannelTeleported")) == ["channel:chan-1"]


def test_keys_name_every_object_of_an_event_the_foremost_first() -> None:
    dial = event("Dial", None, peer=CHANNEL | {"id": "leg"}, caller=CHANNEL, dialstatus="RINGING")
    assert keys_in(dial) == ["channel:leg", "channel:chan-1"]
    assert keys_in(event("PlaybackFinished", None, playback=PLAYBACK)) == ["playback:play-1", "channel:chan-1"]
    refer = {"refer_to": {"connected_channel": CHANNEL}, "referred_by": {"source_channel": CHANNEL | {"id": "agent"}}}
    assert set(keys_in(event("ChannelTransfer", None, **refer))) == {"channel:chan-1", "channel:agent"}
    endpoint = {"technology": "PJSIP", "resource": "alice", "channel_ids": []}
    assert keys_in(event("EndpointStateChange", None, endpoint=endpoint)) == ["endpoint:PJSIP/alice"]


# -- streams


def stream_of(dispatcher: Dispatcher, *keys: str, types: tuple[str, ...] = ()) -> EventStream:
    return EventStream(dispatcher, keys, types)


async def take(stream: EventStream, count: int) -> list[Event]:
    async with asyncio.timeout(2):
        return [await anext(stream) for _ in range(count)]


async def test_a_stream_gives_what_it_follows_in_order(dispatcher: Dispatcher) -> None:
    async with stream_of(dispatcher, "channel:chan-1") as stream:
        dispatcher.feed(event("StasisStart", args=[]))
        dispatcher.feed(event("StasisStart", "chan-2", args=[]))
        stream.follow(channel_id="chan-2", bridge_id="bridge-1")
        dispatcher.feed(event("ChannelDestroyed", "chan-2", cause=17, cause_txt="busy", tech_cause=486))
        dispatcher.feed(event("ChannelEnteredBridge", bridge=BRIDGE))
        stream.unfollow(channel_id="chan-2")
        dispatcher.feed(event("StasisEnd", "chan-2"))
        dispatcher.feed(event("StasisEnd"))
        got = await take(stream, 4)
    assert [each.type for each in got] == ["StasisStart", "ChannelDestroyed", "ChannelEnteredBridge", "StasisEnd"]
    assert isinstance(got[1], ChannelDestroyed)
    assert got[1].tech_cause == 486
    assert not dispatcher._watchers


async def test_an_event_that_names_two_followed_channels_comes_once(dispatcher: Dispatcher) -> None:
    async with stream_of(dispatcher, "channel:chan-1", "channel:leg") as stream:
        dispatcher.feed(event("Dial", None, peer=CHANNEL | {"id": "leg"}, caller=CHANNEL, dialstatus="BUSY"))
        dispatcher.feed(event("StasisEnd"))
        first, second = await take(stream, 2)
    assert isinstance(first, Dial)
    assert isinstance(second, StasisEnd)


async def test_a_stream_may_want_some_types_only(dispatcher: Dispatcher) -> None:
    async with stream_of(dispatcher, types=("StasisEnd",)) as stream:
        dispatcher.feed(event("StasisStart", args=[]))
        dispatcher.feed(event("StasisEnd", "chan-9"))
        (only,) = await take(stream, 1)
    assert isinstance(only, StasisEnd)


async def test_what_concerns_all_comes_through_every_stream_once(dispatcher: Dispatcher) -> None:
    async with stream_of(dispatcher, "channel:a", "channel:b") as stream:
        dispatcher.feed(event("ApplicationReplaced", None))
        dispatcher.broadcast(ari.Reconciled(application=APP))
        first, second = await take(stream, 2)
    assert first.type == "ApplicationReplaced"
    assert isinstance(second, ari.Reconciled)


async def test_a_stream_ends_when_the_client_closes(dispatcher: Dispatcher) -> None:
    async with stream_of(dispatcher, "channel:chan-1") as stream:
        reading = asyncio.create_task(take(stream, 1))
        await asyncio.sleep(0)
        await dispatcher.close()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await asyncio.wait([reading])
        assert reading.exception() is not None


async def test_a_stream_that_nobody_reads_gives_up_noise_first(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with stream_of(dispatcher, "channel:chan-1") as stream:
        for _ in range(dispatch.NOISY_BOUND + 10):
            dispatcher.feed(event("ChannelVarset", variable="A", value="1"))
        dispatcher.feed(event("StasisEnd"))
        got = await take(stream, dispatch.NOISY_BOUND + 1)
    assert stream.dropped == 10
    assert isinstance(got[-1], StasisEnd)
    assert caplog.text.count("events behind") == 1, "one line, not one for each event"


def test_a_backlog_is_bounded_in_any_case() -> None:
    backlog: Backlog[int] = Backlog("test")
    assert all(backlog.put(each, noisy=False) for each in range(dispatch.HARD_BOUND))
    assert not backlog.put(0, noisy=False)
    assert (len(backlog), backlog.dropped) == (dispatch.HARD_BOUND, 1)
    assert backlog.take() == 0
