"""`python -m tests.emulators.openai_realtime --port 0` prints `port N` and serves until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import signal

import uvloop

from tests.emulators.openai_realtime import Emulator


async def serve(port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    emulator = Emulator(oracle=False)
    await emulator.start(port)
    print(f"port {emulator.port}", flush=True)
    await stopped.wait()
    await emulator.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    uvloop.run(serve(parser.parse_args().port))
