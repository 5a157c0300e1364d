"""External media channels: one POST, one connection, one media leg; for each of the three drivers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from typing import Self

import aiohttp
from yarl import URL

from asterisk import ari
from asterisk.g711 import CompandedLeg
from asterisk.media.audiosocket import AudioSocketListener
from asterisk.media.choose import Driver
from asterisk.media.control import MediaError
from asterisk.media.leg import Format, MediaLeg
from asterisk.media.pacer import Pacer
from asterisk.media.rtp import open_rtp
from asterisk.media.websocket import media_session, open_websocket
from asterisk.party import Party
from asterisk.switch import Switch

ATTACHED_WITHIN = 3.0  # seconds from the request to AudioSocket's connection


class ExternalMedia:
    """Opens media legs on one Asterisk. `format`: of websocket and rtp; AudioSocket is always µ-law for us.

    `host`: where Asterisk reaches this engine (AudioSocket, RTP); by default the address that we have towards Asterisk.
    """

    def __init__(self, switch: Switch, url: str, driver: Driver, format: Format, host: str | None = None) -> None:
        self.driver = driver
        self._switch = switch
        self._url = url.rstrip("/").removesuffix("/ari")
        self._format = format
        self._host = host
        self._http: aiohttp.ClientSession | None = None
        self._pacer = Pacer()
        self._listener: AudioSocketListener | None = None
        self._port = 0

    async def __aenter__(self) -> Self:
        if self.driver == "websocket":
            self._http = media_session()
        else:
            self._host = self._host or await self._own_address()
        if self.driver == "audiosocket":
            self._listener = AudioSocketListener(self._pacer)
            assert self._host is not None
            self._port = await self._listener.start(self._host)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            await self._listener.close()
        await self._pacer.close()
        if self._http is not None:
            await self._http.close()

    async def open(self, party: Party) -> MediaLeg:
        """Make the channel `party` and connect to it. Raises `MediaError`, `ari.AriError`.

        When this fails or is cancelled there is no connection, but perhaps a channel: hang `party` up then.
        """
        match self.driver:
            case "websocket":
                return await self._open_websocket(party)
            case "audiosocket":
                return await self._open_audiosocket(party)
            case "rtp":
                return await self._open_rtp(party)

    async def _open_websocket(self, party: Party) -> MediaLeg:
        assert self._http is not None
        made = await self._post(
            party,
            self._format,
            transport="websocket",
            encapsulation="none",
            connection_type="server",
            transport_data="f(json)",
        )
        told = made.channelvars or {}
        connection, frame = told.get("MEDIA_WEBSOCKET_CONNECTION_ID"), told.get("MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE")
        if not connection or not str(frame).isdecimal():
            raise MediaError("Asterisk made a media channel but did not say how to connect to it")
        return await open_websocket(
            self._http, self._url, connection, channel_id=party.id, format=self._format, frame_size=int(str(frame))
        )

    async def _open_audiosocket(self, party: Party) -> MediaLeg:
        assert self._listener is not None
        name = str(uuid.uuid4())
        coming = self._listener.expect(name, channel_id=party.id)
        try:
            host = f"{self._host}:{self._port}"
            await self._post(party, "slin", transport="tcp", encapsulation="audiosocket", external_host=host, data=name)
            async with asyncio.timeout(ATTACHED_WITHIN):
                return CompandedLeg(await coming)
        except TimeoutError:
            raise MediaError(f"Asterisk did not connect to {host} within {ATTACHED_WITHIN:g} s") from None
        except BaseException:
            if coming.done() and not coming.cancelled():
                await coming.result().close()
            raise
        finally:
            coming.cancel()

    async def _open_rtp(self, party: Party) -> MediaLeg:
        assert self._host is not None
        leg = await open_rtp(self._host, pacer=self._pacer, channel_id=party.id, format=self._format)
        try:
            host, port = leg.address
            made = await self._post(
                party, self._format, transport="udp", encapsulation="rtp", external_host=f"{host}:{port}"
            )
            told = made.channelvars or {}
            remote, at = told.get("UNICASTRTP_LOCAL_ADDRESS"), told.get("UNICASTRTP_LOCAL_PORT")
            if not remote or not str(at).isdecimal():
                raise MediaError("Asterisk made an RTP channel but did not say where it listens")
            leg.connect(str(remote), int(str(at)))
        except BaseException:
            await leg.close()
            raise
        return leg

    async def _post(self, party: Party, format: Format, **how: str) -> ari.Channel:
        client = self._switch.client
        request = client.channels.external_media(app=client.app, format=format, channel_id=party.id, **how)  # type: ignore[arg-type]
        return await self._switch.make(party, request)

    async def _own_address(self) -> str:
        """The address that this machine has towards Asterisk: what it sends from, nothing is sent."""
        host = URL(self._url).host or "127.0.0.1"
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            probe.setblocking(False)
            await asyncio.get_running_loop().sock_connect(probe, (host, 9))
            address: str = probe.getsockname()[0]
            return address
