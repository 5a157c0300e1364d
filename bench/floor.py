"""The floor: what it costs at the least to move the same frames between the same two sockets in this language.

A bare program on the same Asterisk, fed by the same phones and the same provider, with the same event loop and the same
HTTP library as the engine: it answers, opens a chan_websocket leg and a realtime session, and pumps. No flow, no turns,
no ledger, no marks, no flush, no timer, no record; an error ends the process.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from binascii import a2b_base64, b2a_base64
from typing import Any

import aiohttp
import uvloop

from bench.child import obey

APP = "floor"


class Floor:
    """The process."""

    def __init__(self) -> None:
        self._url = ""
        self._provider = ""
        self._entered: dict[str, asyncio.Event] = {}  # media channel ->
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._http: aiohttp.ClientSession
        self._ari: aiohttp.ClientSession

    async def run(self) -> None:
        """Take calls until stdin ends."""
        unlimited = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=unlimited) as self._http, asyncio.TaskGroup() as group:

            async def start(told: dict[str, Any]) -> dict[str, Any]:
                self._url, self._provider = told["url"], told["provider"]
                auth = aiohttp.BasicAuth(told["user"], told["password"])
                self._ari = aiohttp.ClientSession(auth=auth, connector=aiohttp.TCPConnector(limit=20))
                events = await self._ari.ws_connect(f"{self._url}/events?app={APP}")
                pumping.append(group.create_task(self._events(events, group)))
                return {}

            async def live(_: dict[str, Any]) -> dict[str, Any]:
                return {"calls": len(self._calls)}

            pumping: list[asyncio.Task[None]] = []
            await obey({"start": start, "live": live})
            for task in (*pumping, *self._calls.values()):
                task.cancel()
        await self._ari.close()

    async def _events(self, events: aiohttp.ClientWebSocketResponse, group: asyncio.TaskGroup) -> None:
        async for message in events:
            event = json.loads(message.data)
            channel = event.get("channel", {}).get("id")
            if event["type"] == "StasisEnd" and channel in self._calls:
                self._calls[channel].cancel()
            elif event["type"] == "StasisStart" and channel in self._entered:
                self._entered[channel].set()
            elif event["type"] == "StasisStart":
                call = self._calls[channel] = group.create_task(self._call(channel))
                call.add_done_callback(lambda _, channel=channel: self._calls.pop(channel))  # type: ignore[misc]

    async def _call(self, channel: str) -> None:
        await self._ask("POST", f"channels/{channel}/answer")
        provider = await self._session()
        media_id, bridge = uuid.uuid4().hex, uuid.uuid4().hex
        entered = self._entered[media_id] = asyncio.Event()
        made = await self._ask(
            "POST", "channels/externalMedia", app=APP, channelId=media_id, format="ulaw", transport="websocket",
            encapsulation="none", connection_type="server", transport_data="f(json)",
        )  # fmt: skip
        connection = made["channelvars"]["MEDIA_WEBSOCKET_CONNECTION_ID"]
        media = await self._http.ws_connect(
            f"{self._url.removesuffix('/ari')}/media/{connection}", protocols=("media",), compress=0, max_msg_size=0
        )
        async with asyncio.timeout(5):
            await entered.wait()
        await self._ask("POST", f"bridges/{bridge}", type="mixing,dtmf_events,proxy_media")
        await self._ask("POST", f"bridges/{bridge}/addChannel", channel=f"{channel},{media_id}")
        try:
            await self._pump(media, provider)
        finally:
            del self._entered[media_id]
            await asyncio.shield(self._end(media, provider, bridge))

    async def _session(self) -> aiohttp.ClientWebSocketResponse:
        provider = await self._http.ws_connect(
            f"{self._provider}/realtime?model=floor",
            headers={"Authorization": "Bearer floor"},
            compress=0,
            max_msg_size=0,
        )
        pcmu = {"format": {"type": "audio/pcmu"}}
        await provider.send_json({"type": "session.update", "session": {"audio": {"input": pcmu, "output": pcmu}}})
        while (await provider.receive_json())["type"] != "session.updated":
            pass
        return provider

    async def _pump(self, media: aiohttp.ClientWebSocketResponse, provider: aiohttp.ClientWebSocketResponse) -> None:
        """Until it is cancelled, which happens when the caller has hung up."""

        async def down() -> None:
            async for message in provider:
                event = json.loads(message.data)
                if event["type"] == "response.output_audio.delta":
                    await media.send_bytes(a2b_base64(event["delta"]))

        async with asyncio.TaskGroup() as group:
            group.create_task(down())
            async for message in media:
                if message.type is aiohttp.WSMsgType.BINARY:
                    audio = b2a_base64(message.data, newline=False)
                    await provider.send_frame(
                        b'{"type":"input_audio_buffer.append","audio":"' + audio + b'"}', aiohttp.WSMsgType.TEXT
                    )

    async def _end(
        self, media: aiohttp.ClientWebSocketResponse, provider: aiohttp.ClientWebSocketResponse, bridge: str
    ) -> None:
        await media.close()
        await provider.close()
        await self._ask("DELETE", f"bridges/{bridge}")

    async def _ask(self, method: str, path: str, **query: str) -> Any:
        async with self._ari.request(method, f"{self._url}/{path}", params=query) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {answer.status} {text}")
            return json.loads(text) if text else None


if __name__ == "__main__":
    uvloop.run(Floor().run())
