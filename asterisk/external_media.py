"""External media channels: one POST, one connection, one media leg; for each of the three drivers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import uuid
from collections.abc import Sequence
from typing import Self

import aiohttp
from yarl import URL

from asterisk import ari
from asterisk.g711 import CompandedLeg
from asterisk.media.audiosocket import AudioSocketListener
from asterisk.media.choose import Driver
from asterisk.media.control import MediaError
from asterisk.media.drivers import Drivers
from asterisk.media.leg import Format, MediaLeg
from asterisk.media.pacer import Pacer
from asterisk.media.rtp import open_rtp
from asterisk.media.rtp_packet import PAYLOAD_TYPE
from asterisk.media.websocket import media_session, open_websocket
from asterisk.party import Party
from asterisk.switch import Switch

_FORMATS: dict[Driver, tuple[Format, ...]] = {"audiosocket": ("ulaw",), "rtp": tuple(PAYLOAD_TYPE)}
ATTACHED_WITHIN = 3.0  # seconds from the request to AudioSocket's connection


class ExternalMedia:
    """Opens media legs on one Asterisk. `format`: of websocket and rtp; AudioSocket is always µ-law for us.

    `drivers`: those that may be used; one that cannot carry `format` is left out, for a call keeps its format.
    `host`: where Asterisk reaches this engine (AudioSocket, RTP); by default the address that we have towards Asterisk.
    """

    def __init__(
        self, switch: Switch, url: str, drivers: Sequence[Driver], format: Format, host: str | None = None
    ) -> None:
        able = [driver for driver in drivers if format in _FORMATS.get(driver, (format,))]
        self.drivers = Drivers(able or drivers)
        self._switch = switch
        self._url = url.rstrip("/").removesuffix("/ari")
        self._format = format
        self._given_host = host
        self._pacer = Pacer()
        self._http: aiohttp.ClientSession | None = None
        self._listening: asyncio.Task[tuple[AudioSocketListener, str]] | None = None

    async def __aenter__(self) -> Self:
        if self.drivers.best == "audiosocket":  # an address that cannot be had is said at the start
            await self._listener()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listening is not None:
            await asyncio.wait([self._listening])
            if self._listening.exception() is None:
                await self._listening.result()[0].close()
        await self._pacer.close()
        if self._http is not None:
            await self._http.close()

    async def open(self, party: Party, driver: Driver) -> MediaLeg:
        """Make the channel `party` and connect to it. Raises `MediaError`, `ari.AriError`.

        When this fails or is cancelled there is no connection, but perhaps a channel: hang `party` up then.
        """
        try:
            match driver:
                case "websocket":
                    return await self._open_websocket(party)
                case "audiosocket":
                    return await self._open_audiosocket(party)
                case "rtp":
                    return await self._open_rtp(party)
        except OSError as error:  # a name that is not found, an address or a port that cannot be had
            raise MediaError(
                f"no {driver} connection between Asterisk ({self._url}) and this engine: {error}"
            ) from error

    async def _open_websocket(self, party: Party) -> MediaLeg:
        if self._http is None:
            self._http = media_session()
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
        listener, host = await self._listener()
        name = str(uuid.uuid4())
        coming = listener.expect(name, channel_id=party.id)
        try:
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
        leg = await open_rtp(await self._host(), pacer=self._pacer, channel_id=party.id, format=self._format)
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

    async def _listener(self) -> tuple[AudioSocketListener, str]:
        """The one listener of all AudioSocket legs and its address (host:port), from the first that needs it on."""
        failed = self._listening is not None and self._listening.done() and self._listening.exception() is not None
        if self._listening is None or failed:
            self._listening = self._switch.start(self._listen(), "AudioSocket listener")
        return await asyncio.shield(self._listening)

    async def _listen(self) -> tuple[AudioSocketListener, str]:
        listener, host = AudioSocketListener(self._pacer), await self._host()
        return listener, f"{host}:{await listener.start(host)}"

    async def _host(self) -> str:
        """Where Asterisk reaches us: as given, or what this machine sends from towards Asterisk; nothing is sent."""
        if self._given_host is not None:
            return self._given_host
        host = URL(self._url).host or "127.0.0.1"
        with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
            probe.setblocking(False)
            await asyncio.get_running_loop().sock_connect(probe, (host, 9))
            address: str = probe.getsockname()[0]
            return address
