"""`python -m bench.google_listening`: what hearing through Google costs, beside a bare gRPC stream of the same audio.

The server is a process of its own that reads and says nothing. Callers speak in real time, 20 ms a frame; the figure
is the processor time of this process for one second of one call, in ms.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import grpc
from google.cloud.speech_v2.types import cloud_speech as cs
from grpc import aio

from providers.cascade import Cascade
from providers.google import Google, provider
from providers.google_listening import make_client, opening
from providers.parts import StreamingSpeaker, TextModel
from providers.voice import ULAW, Session

CALLS, SECONDS, FRAME = 20, 15, b"\xff" * 160
METHOD = "/google.cloud.speech.v2.Speech/StreamingRecognize"
Hear = Callable[[bytes], Awaitable[None]]
Open = Callable[[], Awaitable[Hear]]


async def _serve(pipe: Connection) -> None:
    async def recognise(_: Any, context: Any) -> None:
        while await context.read() is not aio.EOF:
            pass

    server = aio.server()
    handler: Any = grpc.stream_stream_rpc_method_handler(recognise)
    _, service, method = METHOD.split("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


def _server(pipe: Connection) -> None:
    asyncio.run(_serve(pipe))


async def _cost(opened: Open) -> float:
    """ms of processor time for a second of a call."""
    ears = [await opened() for _ in range(CALLS)]
    clock, began = asyncio.get_running_loop().time, time.process_time()
    start = clock()
    for frame in range(SECONDS * 50):
        for hear in ears:
            await hear(FRAME)
        await asyncio.sleep(start + (frame + 1) / 50 - clock())
    return (time.process_time() - began) * 1000 / CALLS / SECONDS


async def _batched(write: Callable[[bytes], Awaitable[None]]) -> Hear:
    gathered = bytearray()

    async def hear(audio: bytes) -> None:
        gathered.extend(audio)
        if len(gathered) == 800:
            await write(bytes(gathered))
            gathered.clear()

    return hear


async def _figures(address: str) -> None:
    first = opening("projects/p/locations/global/recognizers/_", format=ULAW, language="en-US", model="telephony")
    google: Google = provider({"api_key": "k", "project": "p", "listening_url": f"http://{address}"})
    async with aio.insecure_channel(address) as channel:
        request = cs.StreamingRecognizeRequest.pb()
        bare = channel.stream_stream(METHOD, request.SerializeToString, lambda raw: raw)

        async def by_grpc() -> Hear:
            call = bare()
            await call.write(cs.StreamingRecognizeRequest.pb(first))
            return await _batched(lambda audio: call.write(request(audio=audio)))

        async def by_client() -> Hear:
            call: Any = await make_client(channel).streaming_recognize()
            await call.write(first)
            return await _batched(lambda audio: call.write(cs.StreamingRecognizeRequest(audio=audio)))

        async def by_recogniser() -> Hear:
            recogniser = google.recogniser(format=ULAW)
            await recogniser.connect()
            return recogniser.send_audio

        async def by_voice() -> Hear:
            parts: Any = None
            texts: TextModel = parts
            speaker: StreamingSpeaker = parts
            voice = Cascade(Session(), recogniser=google.recogniser(format=ULAW), texts=texts, speaker=speaker)
            await voice.connect()
            return voice.send_audio

        ways: dict[str, Open] = {
            "bare gRPC, 100 ms": by_grpc, "the vendor's client, 100 ms": by_client,
            "recogniser": by_recogniser, "voice (with its own ear)": by_voice,
        }  # fmt: skip
        for name, opened in ways.items():
            print(f"{name:32} {await _cost(opened):5.2f} ms")
    await google.close()


def main() -> None:
    """Measure; a minute and a half."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_server, args=(theirs,), daemon=True)
    server.start()
    try:
        asyncio.run(_figures(f"127.0.0.1:{ours.recv()}"))
    finally:
        server.kill()


if __name__ == "__main__":
    main()
