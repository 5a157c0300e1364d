"""Requests: how they look on the wire, and what becomes of the answers."""

import asyncio
import base64
import socket
from datetime import UTC, datetime

import pytest
from aiohttp import web
from fake_ari import BRIDGE, CHANNEL, PASSWORD, USER, FakeAri

from asterisk import ari
from asterisk.ari.rest import segment


async def test_lists_channels_as_records(fake: FakeAri, asking: ari.Client) -> None:
    fake.answers["GET", "/channels"] = (200, [CHANNEL, CHANNEL | {"id": "chan-2"}])
    channels = await asking.channels.list()
    assert [channel.id for channel in channels] == ["chan-1", "chan-2"]
    assert channels[0].caller.number == "+12125550100"
    assert channels[0].creationtime == datetime(2026, 11, 20, 12, 0, 0, 123000, UTC)
    assert channels[0].tenantid is None


async def test_authorization_is_a_header_and_never_in_the_address(fake: FakeAri, asking: ari.Client) -> None:
    await asking.channels.list()
    asked = fake.last("GET", "/channels")
    assert base64.b64decode(asked.authorization.removeprefix("Basic ")).decode() == f"{USER}:{PASSWORD}"
    assert asked.query == {}


@pytest.mark.parametrize("address", ["http://127.0.0.1:8088", "http://127.0.0.1:8088/", "http://127.0.0.1:8088/ari/"])
def test_the_address_may_name_ari_or_not(address: str) -> None:
    client = ari.Client(address, "u", "p")
    assert str(client._rest.address("/channels")) == "http://127.0.0.1:8088/ari/channels"


@pytest.mark.parametrize("address", ["127.0.0.1:8088", "ftp://host", "http://u:p@host:8088", ""])
def test_refuses_what_is_no_address_or_holds_a_password(address: str) -> None:
    with pytest.raises(ValueError, match="address"):
        ari.Client(address, "u", "p")


async def test_live_objects_act(fake: FakeAri, asking: ari.Client) -> None:
    fake.answers["GET", "/channels/chan-1"] = (200, CHANNEL)
    fake.answers["POST", "/channels/chan-1/answer"] = (204, None)
    fake.answers["DELETE", "/channels/chan-1"] = (204, None)
    channel = await asking.channels.get(channel_id="chan-1")
    await channel.answer()
    await channel.hangup(reason="busy")
    assert fake.count("POST", "/channels/chan-1/answer") == 1
    assert fake.last("DELETE", "/channels/chan-1").query == {"reason": "busy"}


async def test_several_values_flags_and_numbers(fake: FakeAri, asking: ari.Client) -> None:
    fake.answers["POST", "/bridges/bridge-1"] = (200, BRIDGE)
    fake.answers["POST", "/bridges/bridge-1/addChannel"] = (204, None)
    bridge = await asking.bridges.create_with_id(bridge_id="bridge-1", type="mixing,proxy_media")
    await bridge.add_channel(channel=["a", "b"], absorb_dtmf=True, mute=False)
    asked = fake.last("POST", "/bridges/bridge-1/addChannel")
    assert asked.query == {"channel": "a,b", "absorbDTMF": "true", "mute": "false"}


async def test_variables_go_into_the_body_under_their_name(fake: FakeAri, asking: ari.Client) -> None:
    fake.answers["POST", "/channels/create"] = (200, CHANNEL)
    await asking.channels.create(endpoint="PJSIP/+1@teams", app="a", variables={"PJSIP_HEADER(add,X-A)": "1"})
    asked = fake.last("POST", "/channels/create")
    assert asked.body == {"variables": {"PJSIP_HEADER(add,X-A)": "1"}}
    assert asked.query["endpoint"] == "PJSIP/+1@teams"
    assert asked.query["channelId"].startswith("channel-"), "ids are ours, so that events can be awaited"


async def test_a_recording_comes_as_bytes(fake: FakeAri, asking: ari.Client) -> None:
    async def file(_: web.Request) -> web.Response:
        return web.Response(body=b"RIFF\x00\xff")

    fake.answers["GET", "/recordings/stored/r%2F1/file"] = file
    fake.answers["GET", "/recordings/stored/r/1/file"] = file
    assert await asking.recordings.get_stored_file(recording_name="r/1") == b"RIFF\x00\xff"


def test_a_path_segment_is_quoted_and_never_empty() -> None:
    assert segment("a/b +?") == "a%2Fb%20%2B%3F"
    with pytest.raises(ValueError, match="empty"):
        segment("")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ari.BadRequest),
        (401, ari.Unauthorized),
        (403, ari.Forbidden),
        (404, ari.NotFound),
        (409, ari.Conflict),
        (412, ari.PreconditionFailed),
        (422, ari.NotInStasis),
        (500, ari.ServerError),
        (503, ari.ServerError),
        (418, ari.AriError),
    ],
)
async def test_an_error_is_typed_and_carries_asterisks_words(
    fake: FakeAri, asking: ari.Client, status: int, kind: type[ari.AriError]
) -> None:
    fake.answers["POST", "/channels/x/answer"] = (status, {"message": "Channel not found"})
    with pytest.raises(ari.AriError) as caught:
        await asking.channels.answer(channel_id="x")
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert str(caught.value) == f"POST /channels/x/answer: {status} Channel not found"


async def test_an_error_in_other_words(fake: FakeAri, asking: ari.Client) -> None:
    fake.answers["GET", "/channels/x"] = (500, {"error": "Allocation failed"})
    fake.answers["GET", "/channels/y"] = (500, "<html>oops</html>")
    fake.answers["GET", "/channels/z"] = (500, None)
    for channel_id, words in (("x", "Allocation failed"), ("y", "oops"), ("z", "Internal Server Error")):
        with pytest.raises(ari.ServerError, match=words):
            await asking.channels.get(channel_id=channel_id)


@pytest.mark.parametrize("answer", ["<html>hello</html>", [], None])
async def test_an_answer_that_is_not_aris(fake: FakeAri, asking: ari.Client, answer: object) -> None:
    fake.answers["GET", "/channels/x"] = (200, answer)
    with pytest.raises(ari.BadResponse, match="is this Asterisk"):
        await asking.channels.get(channel_id="x")


async def test_a_field_of_the_wrong_type_or_missing_does_not_fail_the_call(fake: FakeAri, asking: ari.Client) -> None:
    odd = {"id": "chan-1", "caller": {"number": 42}, "creationtime": "yesterday", "dialplan": None, "tomorrow": [1]}
    fake.answers["GET", "/channels/chan-1"] = (200, odd)
    channel = await asking.channels.get(channel_id="chan-1")
    assert channel.caller.number == "42"
    assert channel.dialplan.priority == 0
    assert channel.creationtime.year == 1970
    assert channel.model_extra == {"tomorrow": [1]}


async def test_a_late_answer_is_a_typed_timeout(fake: FakeAri, asking: ari.Client) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    fake.answers["POST", "/channels/x/answer"] = never
    with pytest.raises(ari.Timeout, match=r"within 0\.2 s; it may still take effect"):
        await asking.channels.answer(channel_id="x")
    assert fake.count("POST", "/channels/x/answer") == 1


async def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    async with ari.Client(f"http://127.0.0.1:{port}", "u", "p") as client:
        with pytest.raises(ari.Unreachable, match=f"127.0.0.1:{port} cannot be reached"):
            await client.channels.list()


async def test_a_broken_get_is_asked_again_and_a_broken_post_is_not(fake: FakeAri, asking: ari.Client) -> None:
    failures = {"GET": 2, "POST": 2}

    async def breaks(request: web.Request) -> web.Response:
        if failures[request.method]:
            failures[request.method] -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(CHANNEL)

    fake.answers["GET", "/channels/chan-1"] = breaks
    fake.answers["POST", "/channels/chan-1/answer"] = breaks
    assert (await asking.channels.get(channel_id="chan-1")).id == "chan-1"
    with pytest.raises(ari.Unreachable):
        await asking.channels.answer(channel_id="chan-1")
    assert fake.count("POST", "/channels/chan-1/answer") == 1


async def test_a_late_external_media_is_looked_up_and_never_posted_again(fake: FakeAri, asking: ari.Client) -> None:
    made: list[str] = []

    async def late(request: web.Request) -> web.Response:
        made.append(request.query["channelId"])
        fake.answers["GET", f"/channels/{made[0]}"] = (200, CHANNEL | {"id": made[0]})
        await asyncio.Event().wait()
        raise AssertionError

    fake.answers["POST", "/channels/externalMedia"] = late
    channel = await asking.channels.external_media(app="a", format="ulaw", transport="websocket")
    assert channel.id == made[0]
    assert fake.count("POST", "/channels/externalMedia") == 1
    with pytest.raises(ValueError, match="posted before"):
        await asking.channels.external_media(app="a", format="ulaw", channel_id=made[0])
    assert fake.count("POST", "/channels/externalMedia") == 1


async def test_a_late_external_media_that_was_not_made_is_a_timeout(fake: FakeAri, asking: ari.Client) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    fake.answers["POST", "/channels/externalMedia"] = never
    with pytest.raises(ari.Timeout):
        await asking.channels.external_media(app="a", format="ulaw", channel_id="media-1")
    assert fake.count("GET", "/channels/media-1") == 1


def test_ids_are_short_unique_and_plain() -> None:
    ids = {ari.new_id("media") for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(each) < 60 and each.startswith("media-") for each in ids)
    for bad in ("", "a/b", "a b", "x" * 41):
        with pytest.raises(ValueError, match="cannot begin"):
            ari.new_id(bad)


def test_an_application_name_is_of_this_process_alone() -> None:
    assert ari.app_name() != ari.app_name()
    assert len(ari.app_name("x" * 30)) <= 72
    with pytest.raises(ValueError, match="cannot begin"):
        ari.app_name("a,b")
