"""`python -m tests.emulators.openai_realtime --port 0 [--bench]` prints `port N` and serves until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop

from tests.emulators.openai_realtime import BenchEmulator, Emulator


async def serve(port: int, *, bench: bool) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    emulator = BenchEmulator() if bench else Emulator(oracle=False)
    await emulator.start(port)
    print(f"port {emulator.port}", flush=True)
    await stopped.wait()
    await emulator.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--bench", action="store_true", help="many sessions, stamped frames, no conversation")
    options = parser.parse_args()
    uvloop.run(serve(options.port, bench=options.bench))
