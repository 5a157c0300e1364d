"""`hookflash demo`, run as a newcomer runs it, in a folder of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
import wave
from pathlib import Path

import pytest

from asterisk.sandbox import Installation
from providers.registry import names
from tests.emulators.gpt_live import LiveEmulator

pytestmark = pytest.mark.asterisk

HOOKFLASH = Path(sys.executable).with_name("hookflash")
WITHIN = 90.0  # seconds


def demo(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not re.search("API_KEY|CREDENTIALS", name)}
    return subprocess.run(
        [HOOKFLASH, "demo", *options], cwd=folder, env={**inherited, "COLUMNS": "200", **environment},
        capture_output=True, text=True, timeout=WITHIN, check=False,
    )  # fmt: skip


def test_a_newcomer_sees_it_work(installation: Installation, tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().splitlines()[-1] == "demo: ok"
    assert installation.banner in done.stdout, "it says which Asterisk"
    assert "Traceback" not in done.stdout + done.stderr

    record = json.loads((tmp_path / "var/demo/call.json").read_text())
    assert (record["outcome"], record["hangup_by"]) == ("handed_off", "caller")
    assert [(each["status"], each["sip_code"]) for each in record["attempts"]] == [("busy", 486), ("answered", 200)]
    with wave.open(str(tmp_path / "var/demo/call.wav")) as sound:
        assert (sound.getnchannels(), sound.getframerate()) == (2, 8000)
        assert 5 < sound.getnframes() / 8000 < 60

    database = f"sqlite+aiosqlite:///{tmp_path}/var/demo/hookflash.db"
    shown = subprocess.run(
        [HOOKFLASH, "calls", "show", record["id"]], env={**os.environ, "HOOKFLASH_DATABASE_URL": database},
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert "486" in shown.stdout


def test_it_stays_with_its_console_and_callers(installation: Installation, tmp_path: Path) -> None:
    inherited = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
    with subprocess.Popen(
        [HOOKFLASH, "demo", "--load", "3"], cwd=tmp_path, env={**inherited, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None
        watch = threading.Timer(WITHIN, running.kill)
        watch.start()
        try:
            said = ""
            while "callers keep it busy" not in said:
                line = running.stdout.readline()
                assert line, f"it ended: {said}"
                said += line
            found = re.search(r"The console: (http://\S+)/console/", said)
            assert found is not None
            live: list[str] = []
            while len(live) < 3:
                with urllib.request.urlopen(f"{found[1]}/api/v1/calls", timeout=5) as answer:
                    live = [call["caller"] for call in json.load(answer)["calls"]]
            assert sorted(live) == ["+14155550000", "+14155550001", "+14155550002"]
        finally:
            watch.cancel()
            running.send_signal(signal.SIGINT)
        assert running.wait(30) in (0, 1, 130, -signal.SIGINT)


@pytest.mark.parametrize("voice", sorted({*names()} - {"rehearsal"}))
def test_what_is_missing_is_named_before_anything_is_started(tmp_path: Path, voice: str) -> None:
    """Every voice that is installed; that the variables are the right ones is held in tests/engine."""
    done = demo(tmp_path, "--voice", voice)
    assert done.returncode == 1
    assert re.search(r"set [A-Z][A-Z_]+|pip install", done.stderr), done.stderr
    assert "The sandbox is ready" not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_voice_without_a_text_model_says_how_it_gets_one(tmp_path: Path) -> None:
    done = demo(tmp_path, "--voice", "azure-speech", AZURE_SPEECH_KEY="test-key", AZURE_SPEECH_REGION="westeurope")
    assert done.returncode == 1
    assert "needs a text model: set HOOKFLASH_VOICES_AZURE_SPEECH_TEXT_API_KEY" in done.stderr
    assert "The sandbox is ready" not in done.stdout


async def test_with_a_key_it_talks_to_the_vendor(installation: Installation, tmp_path: Path) -> None:
    """The vendor is emulated here; everything else is as with a real key."""
    async with LiveEmulator(pace=1.0) as emulator:
        vendor = {"OPENAI_API_KEY": "test-key-1", "HOOKFLASH_VOICES_GPT_LIVE_BASE_URL": emulator.url}
        done = await asyncio.to_thread(demo, tmp_path, "--voice", "gpt-live", **vendor)
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []
        assert emulator.open_sessions == 0
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "var/demo/call.json").read_text())
    assert (record["outcome"], record["hangup_by"]) == ("handed_off", "caller")
    assert "test-key-1" not in done.stdout + done.stderr + json.dumps(record)


def test_a_provider_that_cannot_be_reached_fails_the_demo_and_is_named(tmp_path: Path) -> None:
    done = demo(
        tmp_path, "--voice", "openai", OPENAI_API_KEY="test-key", HOOKFLASH_VOICES_OPENAI_BASE_URL="ws://127.0.0.1:9/v1"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "demo: failed" in done.stderr
    assert "OpenAI cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_voice_is_named(tmp_path: Path) -> None:
    done = demo(tmp_path, "--voice", "nobody")
    assert done.returncode != 0
    assert "nobody" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_there_can_be_no_asterisk_it_says_what_to_install(tmp_path: Path) -> None:
    """A machine without apt and without an Asterisk."""
    done = demo(tmp_path, PATH=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=str(tmp_path))
    assert done.returncode == 1
    assert "install" in done.stderr.lower()
    assert "Traceback" not in done.stderr
