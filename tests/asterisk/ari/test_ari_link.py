"""The event socket's life: opened, broken, opened again, taken away."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp import web
from fake_ari import APP, BRIDGE, CHANNEL, PASSWORD, USER, FakeAri, event, serving

from asterisk import ari
from asterisk.ari import link
from asterisk.ari.models import Event


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(link, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(link, "LONGEST_PAUSE_S", 0.02)
    return


async def reconnected(client: ari.Client, fake: FakeAri) -> None:
    fake.opened.clear()
    async with asyncio.timeout(3):
        await fake.opened.wait()
        await client.connected.wait()


async def test_connects_with_its_application_and_sets_the_filter(fake: FakeAri, client: ari.Client) -> None:
    assert client.state is ari.State.CONNECTED
    assert fake.last("GET", "/events").query == {"app": APP}
    assert fake.last("GET", "/events").authorization.startswith("Basic ")
    unwanted = fake.last("PUT", f"/applications/{APP}/eventFilter").body["disallowed"]
    assert {each["type"] for each in unwanted} == ari.NOISY
    assert fake.sockets[-1].compress == 0


async def test_the_filter_waits_for_the_application_to_be_registered(fake: FakeAri) -> None:
    path = f"/applications/{APP}/eventFilter"

    async def registers_at_the_third(_: web.Request) -> web.Response:
        if fake.count("PUT", path) < 3:
            return web.json_response({"message": "Application does not exist"}, status=404)
        return web.json_response({"name": APP})

    fake.answers["PUT", path] = registers_at_the_third
    async with ari.Client(fake.url, USER, PASSWORD, APP):
        assert fake.count("PUT", path) == 3


async def test_a_user_that_may_only_read_gets_events_without_a_filter(fake: FakeAri) -> None:
    fake.answers["PUT", f"/applications/{APP}/eventFilter"] = (403, {"message": "Write access denied"})
    async with ari.Client(fake.url, USER, PASSWORD, APP) as client:
        assert client.connected.is_set()


async def test_after_a_gap_it_connects_again_filters_again_and_tells_what_lives(
    fake: FakeAri, client: ari.Client
) -> None:
    states: list[ari.State] = []
    client.on_state(states.append)
    fake.answers["GET", "/channels"] = (200, [CHANNEL])
    fake.answers["GET", "/bridges"] = (200, [BRIDGE])
    async with client.events(channel_id="dead") as stream:
        await fake.sockets[-1].close()
        async with asyncio.timeout(3):
            told = await anext(stream)
    assert isinstance(told, ari.Reconciled)
    assert told.has_channel("chan-1")
    assert not told.has_channel("dead")
    assert told.bridges[0].client is client
    await client.connected.wait()
    assert states == [ari.State.CONNECTING, ari.State.CONNECTED]
    assert fake.count("PUT", f"/applications/{APP}/eventFilter") == 2
    assert fake.count("GET", f"/applications/{APP}") == 1, "reconciled after the gap only"


async def test_events_flow_again_after_a_gap(fake: FakeAri, client: ari.Client) -> None:
    got: asyncio.Queue[Event] = asyncio.Queue()
    client.on_event("StasisEnd", got.put_nowait)
    await fake.sockets[-1].close()
    await reconnected(client, fake)
    await fake.send(event("StasisEnd"))
    assert (await asyncio.wait_for(got.get(), 2)).type == "StasisEnd"


async def test_a_failing_reconciliation_is_not_the_end(fake: FakeAri, client: ari.Client) -> None:
    fake.answers["GET", "/channels"] = (503, {"message": "not yet"})
    fake.opened.clear()
    await fake.sockets[-1].close()
    await asyncio.wait_for(fake.opened.wait(), 3)
    fake.opened.clear()
    await asyncio.wait_for(fake.opened.wait(), 3)
    assert isinstance(client.last_error, ari.ServerError)
    fake.answers["GET", "/channels"] = (200, [])
    await asyncio.wait_for(client.connected.wait(), 3)


async def test_replaced_means_lost_and_it_does_not_fight(fake: FakeAri, client: ari.Client) -> None:
    got: asyncio.Queue[Event] = asyncio.Queue()
    client.on_event("ApplicationReplaced", got.put_nowait)
    await fake.send(event("ApplicationReplaced", None))
    with pytest.raises(ari.Replaced, match="another client took the application name unit"):
        await asyncio.wait_for(client.run(), 2)
    assert client.state is ari.State.LOST
    assert isinstance(client.failure, ari.Replaced)
    assert not client.connected.is_set()
    await asyncio.wait_for(got.get(), 2)
    assert len(fake.sockets) == 1
    assert (await client.channels.list()) == [], "requests still work"


async def test_an_attempt_that_was_given_up_and_served_late_is_not_another_client(fake: FakeAri) -> None:
    async with ari.Client(fake.url, USER, PASSWORD, APP, timeout=0.2) as client:
        fake.stall_sockets = 1
        await fake.sockets[-1].close()
        await reconnected(client, fake)
        await fake.send(event("ApplicationReplaced", None))
        await reconnected(client, fake)
        await fake.send(event("ApplicationReplaced", None))
        with pytest.raises(ari.Replaced):
            await asyncio.wait_for(client.run(), 2)


async def test_a_wrong_password_is_said_at_once(fake: FakeAri) -> None:
    fake.refuse_sockets = 401
    with pytest.raises(ari.Unauthorized):
        async with ari.Client(fake.url, USER, "wrong", APP, start_timeout=60):
            pass
    assert fake.count("GET", "/events") == 1


async def test_an_asterisk_that_is_not_there_in_time(fake: FakeAri) -> None:
    fake.refuse_sockets = 503
    with pytest.raises(ari.ServerError):
        async with ari.Client(fake.url, USER, PASSWORD, APP, start_timeout=0.1):
            pass
    assert fake.count("GET", "/events") > 1


async def test_a_patient_client_waits_for_asterisk_in_the_background(fake: FakeAri) -> None:
    fake.refuse_sockets = 401
    async with ari.Client(fake.url, USER, PASSWORD, APP, start_timeout=None) as client:
        await asyncio.wait_for(fake.refused_twice.wait(), 3)
        assert isinstance(client.last_error, ari.Unauthorized)
        assert client.state is ari.State.CONNECTING
        fake.refuse_sockets = 0
        await asyncio.wait_for(client.connected.wait(), 3)


async def test_a_bounded_number_of_attempts(fake: FakeAri) -> None:
    async with ari.Client(fake.url, USER, PASSWORD, APP, attempts=3) as client:
        fake.refuse_sockets = 503
        await fake.sockets[-1].close()
        with pytest.raises(ari.ServerError):
            await asyncio.wait_for(client.run(), 3)
        assert client.state is ari.State.LOST
        assert fake.count("GET", "/events") == 1 + 3


async def test_a_server_that_is_no_asterisk() -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="welcome")

    fake = FakeAri()
    fake.events = hello  # type: ignore[method-assign,assignment]
    async with serving(fake):
        with pytest.raises(ari.BadResponse, match="is this Asterisk"):
            async with ari.Client(fake.url, USER, PASSWORD, APP):
                pass


async def test_nothing_is_left_after_close(fake: FakeAri) -> None:
    before = asyncio.all_tasks()
    async with ari.Client(fake.url, USER, PASSWORD, APP) as client:
        client.on_event("StasisEnd", lambda _: None)
        await fake.send(event("StasisEnd"))
    ours = {task for task in asyncio.all_tasks() - before if task.get_name().startswith("ari ")}
    assert not ours
    assert client.state is ari.State.CLOSED
    with pytest.raises(RuntimeError, match="not open"):
        await client.channels.list()


async def test_connect_gives_an_open_client(fake: FakeAri) -> None:
    client = await ari.connect(fake.url, USER, PASSWORD, APP)
    assert client.connected.is_set()
    await client.close()
