"""What all tests share: the private Asterisk (unpacked once, started once for each worker), and an ear for tones."""

import asyncio
import math
import struct
import wave
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from asterisk import sandbox
from asterisk.sandbox import Installation, Instance, UnpackError

RATE = 8000

pytest_plugins = ["tests.second_try"]


def pytest_report_header(config: pytest.Config) -> str:
    if "not asterisk" in config.getoption("-m"):
        return "asterisk: not used (-m 'not asterisk')"
    try:
        return f"asterisk: {sandbox.locate().banner}"
    except UnpackError as problem:
        return f"asterisk: none, its tests will fail: {problem}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.failed:
        used = getattr(item, "funcargs", {}).values()
        logs = {
            str(each.log)
            for value in used
            for each in (value if isinstance(value, tuple) else (value,))
            if isinstance(each, Instance)
        }
        if logs:
            report.sections.append(("Asterisk's logs", "\n".join(sorted(logs))))
    return report


@pytest.fixture(scope="session")
def installation() -> Installation:
    """Asterisk, SIPp and flite. Where there can be none this fails and says what to install."""
    return sandbox.locate()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def asterisks(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Instance, Instance]]:
    """`(pbx, world)`, wired together and shared by all tests of this worker: never stop, kill or restart these."""
    async with sandbox.pair(tmp_path_factory.mktemp("asterisk"), installation=installation) as (pbx, world):
        yield pbx, world


@pytest_asyncio.fixture(loop_scope="session")
async def pbx(asterisks: tuple[Instance, Instance]) -> AsyncIterator[Instance]:
    """The company's Asterisk, shared: leave no channel and no bridge behind.

    One that has stopped serving media sockets, as 22.10.1 rarely does (docs/asterisk.md), is started anew for the tests
    that follow, and so is one that has crashed, which fails its test. What the engine does then is held by tests of its
    own.
    """
    yield asterisks[0]
    crashed = not asterisks[0].running
    if crashed or await _serves_no_media(asterisks[0]):
        await asterisks[0].restart()
    assert not crashed, f"Asterisk crashed during this test; its last words: {asterisks[0].log}"


async def _serves_no_media(pbx: Instance) -> bool:
    """Whether a media channel stays although nobody has a call any more."""
    for _ in range(10):
        if not any(channel.startswith("WebSocket/") for channel in await pbx.channels()):
            return False
        await asyncio.sleep(0.2)
    return True


@pytest.fixture
def world(asterisks: tuple[Instance, Instance]) -> Instance:
    """Carrier, callers and Teams, shared. The numbers that it answers are in asterisk/config/world.conf."""
    return asterisks[1]


@pytest.fixture
async def own_pair(installation: Installation, tmp_path: Path) -> AsyncIterator[tuple[Instance, Instance]]:
    """`(pbx, world)` for one test alone, which may stop, kill and restart them."""
    async with sandbox.pair(tmp_path, installation=installation) as (pbx, world):
        yield pbx, world


@pytest.fixture(scope="session")
def tone_share() -> Callable[[Path | bytes, float], float]:
    """`tone_share(wav or PCM, hz)`: the share of the energy that is one tone, 0.0 to 1.0 (a Goertzel filter).

    The sound is 8 kHz, 16 bits, mono. Silence at both ends is cut off first; silence alone gives 0.0.
    """

    def share(sound: Path | bytes, hz: float) -> float:
        if isinstance(sound, Path):
            with wave.open(str(sound)) as file:
                assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (RATE, 2, 1)
                sound = file.readframes(file.getnframes())
        samples = struct.unpack(f"<{len(sound) // 2}h", sound)
        loud = [index for index, sample in enumerate(samples) if abs(sample) > 200]
        if not loud:
            return 0.0
        samples = samples[loud[0] : loud[-1] + 1]
        turn = 2 * math.cos(2 * math.pi * hz / RATE)
        before = last = 0.0
        for sample in samples:
            before, last = last, sample + turn * last - before
        power = last * last + before * before - turn * last * before
        return power / (sum(sample * sample for sample in samples) * len(samples) / 2)

    return share


@pytest.fixture
async def no_tasks_left() -> AsyncIterator[None]:
    """The test must end with the asyncio tasks that it began with."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
    assert not left, f"tasks left behind: {left}"
