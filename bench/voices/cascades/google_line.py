"""Google as the vendor's process plays it: bare gRPC streams that hear and speak, requests not even parsed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
from google.cloud.speech_v2.types import cloud_speech as cs
from google.cloud.texttospeech_v1.types import cloud_tts as tts
from grpc import aio

from bench.voices.cascades.line import CascadeLine

HEAR = ("google.cloud.speech.v2.Speech", "StreamingRecognize")
SPEAK = ("google.cloud.texttospeech.v1.TextToSpeech", "StreamingSynthesize")


class GoogleLine(CascadeLine):
    """Speech-to-Text v2, streaming Text-to-Speech and a text model."""

    async def serve(self) -> None:
        """Listen on free ports."""
        await super().serve()
        self._server = aio.server()
        for (service, method), handler in ((HEAR, self._recognise), (SPEAK, self._synthesise)):
            handlers: Any = {method: grpc.stream_stream_rpc_method_handler(handler)}  # bytes in, bytes out
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()

    async def close(self) -> None:
        """Serve no more."""
        await self._server.stop(None)
        await super().close()

    @property
    def settings(self) -> Mapping[str, str]:
        """What a provider is made with beside a key."""
        url = f"http://127.0.0.1:{self._port}"
        return {**super().settings, "project": "bench", "listening_url": url, "speech_url": url}

    async def _recognise(self, _: Any, context: Any) -> None:
        await context.read()  # the configuration
        telling = asyncio.create_task(self._tell(context))
        try:
            while (request := await context.read()) is not aio.EOF:
                self.note(request)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)

    async def _tell(self, context: Any) -> None:
        response = cs.StreamingRecognizeResponse.pb()
        async for text, final in self.texts():
            alternatives = [{"transcript": text, "confidence": 0.9 if final else 0.0}]
            result = {"alternatives": alternatives, "is_final": final, "stability": 0.0 if final else 0.5}
            await context.write(response(results=[result]).SerializeToString())

    async def _synthesise(self, _: Any, context: Any) -> None:
        await context.read()  # the configuration
        response = tts.StreamingSynthesizeResponse.pb()
        while await context.read() is not aio.EOF:
            async for sound in self.sounds():
                await context.write(response(audio_content=sound).SerializeToString())
