"""The emulator itself: the vendor's own client talks with it."""

import asyncio
import os
import signal
import sys
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI

from providers.openai import provider as openai_provider
from tests.emulators.openai_realtime import Call, Say, silence, tone
from tests.emulators.openai_realtime.oracle import Oracle
from tests.emulators.openai_realtime.sound import tone_voice
from tests.providers.conftest import KEY, session


async def test_the_vendors_own_client_completes_a_conversation(emulate: Callable[..., Any]) -> None:
    emulator = await emulate(
        script=[Call("lookup", {"dish": "pizza"}), Say("Nine dollars.")], heard=["a pizza"], pace=50.0
    )
    seen: Counter[str] = Counter()
    spoken, transcript, heard = bytearray(), "", ""
    client = AsyncOpenAI(api_key=KEY, base_url=emulator.http_url)
    async with asyncio.timeout(10), client, client.realtime.connect(model="gpt-realtime-2.1") as connection:
        async for event in connection:
            seen[event.type] += 1
            if event.type == "session.created":
                formats: Any = {"format": {"type": "audio/pcmu"}}
                hearing: Any = {**formats, "transcription": {"model": "gpt-transcribe"}}
                await connection.session.update(
                    session={"type": "realtime", "audio": {"input": hearing, "output": formats}}
                )
            elif event.type == "session.updated":
                audio = tone(300) + silence(700)
                for start in range(0, len(audio), 160):
                    await connection.input_audio_buffer.append(audio=b64encode(audio[start : start + 160]).decode())
            elif event.type == "conversation.item.input_audio_transcription.completed":
                heard = event.transcript
            elif event.type == "response.output_audio.delta":
                spoken += b64decode(event.delta)
            elif event.type == "response.output_audio_transcript.done":
                transcript = event.transcript
            elif event.type == "response.function_call_arguments.done":
                call_id = event.call_id
            elif event.type == "response.done" and seen["response.done"] == 1:
                await connection.conversation.item.create(
                    item={"type": "function_call_output", "call_id": call_id, "output": "9"}
                )
                await connection.response.create()
            elif event.type == "response.done":
                assert event.response.usage is not None
                assert event.response.usage.output_tokens
                break
    assert (heard, transcript, bytes(spoken)) == ("a pizza", "Nine dollars.", await tone_voice("Nine dollars."))
    assert seen["input_audio_buffer.speech_started"] == seen["input_audio_buffer.speech_stopped"] == 1
    assert seen["error"] == 0


def test_the_oracle_refuses_what_the_vendor_would_not_send() -> None:
    oracle = Oracle()
    oracle.server({"type": "response.output_audio.delta", "event_id": "e", "delta": "AAAA"})
    oracle.client({"type": "input_audio_buffer.apend", "audio": "AAAA"})
    oracle.client({"type": "input_audio_buffer.append", "audio": "AAAA"})
    assert oracle.checked == 3
    assert len(oracle.problems) == 2
    assert "response_id: Field required" in oracle.problems[0]
    assert oracle.problems[1] == "client input_audio_buffer.apend: no such type"


async def test_it_runs_as_a_process_of_its_own() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.emulators.openai_realtime", stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            assert process.stdout is not None
            word, port = (await process.stdout.readline()).split()
            assert word == b"port"
            provider = openai_provider({"api_key": KEY, "base_url": f"ws://127.0.0.1:{int(port)}/v1"})
            voice = provider.voice(session())
            await voice.connect()
            await voice.close()
            await provider.close()
            os.kill(process.pid, signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
