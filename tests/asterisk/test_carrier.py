"""Opening the engine's audio: what is up and nobody will have is ended. No Asterisk: attempts are the test's own."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from asterisk.carrier import Carrier, Carriers
from asterisk.external_media import ExternalMedia
from asterisk.media.choose import Driver
from asterisk.media.control import MediaError
from asterisk.media.drivers import Drivers
from asterisk.party import Party


def carrier(driver: Driver) -> Carrier:
    unused: Any = None
    return Carrier(unused, Party(driver), driver, 0.0)


async def test_audio_that_is_up_when_its_call_is_cancelled_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call ends while the slower attempt is still cleaning up after the faster one."""
    monkeypatch.setattr("asterisk.carrier.FIRST_WITHIN", 0.01)
    ended: list[Driver] = []
    cleaning = asyncio.Event()

    async def attempt(driver: Driver) -> Carrier:
        if driver == "rtp":
            return carrier(driver)
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await asyncio.sleep(0.05)
        raise AssertionError

    def end(given: Carrier) -> asyncio.Task[None]:
        ended.append(given.driver)
        return asyncio.ensure_future(asyncio.sleep(0))

    opening = asyncio.ensure_future(Carriers(attempt, end, Drivers(["websocket", "rtp"])).open())
    await cleaning.wait()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert ended == ["rtp"]


async def test_an_address_that_cannot_be_found_is_an_error_of_the_media(monkeypatch: pytest.MonkeyPatch) -> None:
    switch: Any = None

    async def unknown(*given: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", unknown)
    async with ExternalMedia(switch, "http://pbx.example:8088/ari", ["websocket", "rtp"], "ulaw") as media:
        with pytest.raises(MediaError, match=r"no rtp connection .*pbx\.example.*not known"):
            await media.open(Party("media"), "rtp")
