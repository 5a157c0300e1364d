"""Media legs on a real Asterisk, by bare ARI requests: two legs in a bridge; one hears what the other plays."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from asterisk.instance import Instance
from asterisk.media.leg import Format, MediaEvent, MediaLeg
from asterisk.media.playout import SILENCE
from asterisk.media.websocket import WebSocketLeg, media_session, open_websocket

PATIENCE = 5.0  # seconds, for anything


@dataclass
class Ear:
    """Whoever iterates a leg: keeps what it heard, with times."""

    leg: MediaLeg
    audio: list[tuple[float, bytes]] = field(default_factory=list)
    events: list[tuple[float, MediaEvent]] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    tap: Tap | None = None

    async def listen(self) -> None:
        now = asyncio.get_running_loop().time
        async for event in self.leg.events():
            (self.audio if isinstance(event, bytes) else self.events).append((now(), event))  # type: ignore[arg-type]
            self.changed.set()

    @property
    def heard(self) -> list[tuple[float, bytes]]:
        """Frames with something in them."""
        silence = SILENCE[self.leg.format]
        return [(at, frame) for at, frame in self.audio if frame.strip(silence)]

    async def until(self, what) -> None:
        """Wait for a condition on what was heard; a generous bound, for a busy machine."""
        async with asyncio.timeout(PATIENCE + 5):
            while not what():
                self.changed.clear()
                await self.changed.wait()

    async def event(self, wanted: MediaEvent | type) -> float:
        """Wait for an event; gives when it came."""

        def found() -> list[float]:
            return [
                at
                for at, event in self.events
                if event == wanted or (isinstance(wanted, type) and isinstance(event, wanted))
            ]

        await self.until(found)
        return found()[0]


class Studio:
    """One Stasis application with a bridge."""

    def __init__(self, asterisk: Instance, http: aiohttp.ClientSession, media: aiohttp.ClientSession, app: str) -> None:
        self.asterisk = asterisk
        self.http = http
        self.media = media
        self.app = app
        self.base = f"http://127.0.0.1:{asterisk.http_port}"
        self.bridge = ""
        self.ears: list[Ear] = []
        self.gone: set[str] = set()
        self.deaf: list[str] = []  # RTP channels: they do not notice that their leg was closed
        self._entered: set[str] = set()
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def post(self, path: str, **params: str) -> dict[str, object]:
        async with self.http.post(f"{self.base}/ari/{path}", params=params) as answer:
            assert answer.status < 300, await answer.text()
            return await answer.json() if answer.status == 200 else {}

    async def external_media(self, **params: str) -> tuple[str, dict[str, str]]:
        """Create a channel; gives its id and its variables."""
        channel = str(uuid.uuid4())
        made = await self.post("channels/externalMedia", app=self.app, channelId=channel, **params)
        return channel, made["channelvars"]  # type: ignore[return-value]

    async def join(self, leg: MediaLeg) -> Ear:
        """Put a leg into the bridge when Asterisk has it, and listen."""
        await self.until(lambda: leg.channel_id in self._entered)
        ear = Ear(leg)
        self._tasks.append(asyncio.create_task(ear.listen()))
        self.ears.append(ear)
        await self.post(f"bridges/{self.bridge}/addChannel", channel=leg.channel_id)
        return ear

    async def connection(self, format: Format = "ulaw") -> tuple[str, dict[str, str]]:
        return await self.external_media(
            transport="websocket",
            encapsulation="none",
            connection_type="server",
            format=format,
            transport_data="f(json)",
        )

    async def websocket(self, format: Format = "ulaw") -> Ear:
        channel, variables = await self.connection(format)
        leg = await open_websocket(
            self.media,
            self.base,
            variables["MEDIA_WEBSOCKET_CONNECTION_ID"],
            channel_id=channel,
            format=format,
            frame_size=int(variables["MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE"]),
        )
        tap = Tap(leg)
        ear = await self.join(leg)
        ear.tap = tap
        return ear

    async def until(self, what) -> None:
        async with asyncio.timeout(PATIENCE):
            while not what():
                self._news.clear()
                await self._news.wait()

    async def watch(self, events: aiohttp.ClientWebSocketResponse) -> None:
        async for message in events:
            event = json.loads(message.data)
            if event["type"] == "StasisStart":
                self._entered.add(event["channel"]["id"])
            elif event["type"] in ("StasisEnd", "ChannelDestroyed"):
                self.gone.add(event["channel"]["id"])
            self._news.set()

    async def close(self) -> None:
        for ear in self.ears:
            await ear.leg.close()
        for channel in self.deaf:
            async with self.http.delete(f"{self.base}/ari/channels/{channel}") as answer:
                assert answer.status == 204
        await self.until(lambda: {ear.leg.channel_id for ear in self.ears} <= self.gone)
        await asyncio.gather(*self._tasks)
        async with self.http.delete(f"{self.base}/ari/bridges/{self.bridge}") as answer:
            assert answer.status in (204, 404)


@asynccontextmanager
async def studio(asterisk: Instance) -> AsyncIterator[Studio]:
    """A bridge as calls have it; closes every leg at the end and sees that its channel goes."""
    login = aiohttp.encode_basic_auth(asterisk.ari_user, asterisk.ari_password)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(
            aiohttp.ClientSession(headers={"Authorization": login}, connector=aiohttp.TCPConnector(limit=0))
        )
        media = await stack.enter_async_context(media_session())
        here = Studio(asterisk, http, media, f"studio-{uuid.uuid4().hex[:8]}")
        events = await stack.enter_async_context(http.ws_connect(f"{here.base}/ari/events?app={here.app}"))
        watching = asyncio.create_task(here.watch(events))
        here.bridge = str((await here.post("bridges", type="mixing,dtmf_events,proxy_media"))["id"])
        try:
            yield here
        finally:
            await here.close()
            await events.close()
            await watching


class Tap:
    """Stands between a leg and its socket: keeps the control messages and can add some."""

    def __init__(self, leg: WebSocketLeg) -> None:
        self.said: list[dict[str, object]] = []
        self._socket = leg._socket
        leg._socket = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> object:
        return getattr(self._socket, name)

    async def receive(self) -> aiohttp.WSMessage:
        message = await self._socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            self.said.append(json.loads(message.data))
        return message

    async def command(self, name: str) -> None:
        await self._socket.send_str(json.dumps({"command": name}))

    def statuses(self) -> list[dict[str, object]]:
        return [each for each in self.said if each["event"] == "STATUS"]
