"""`hookflash test --audio` where no call is made: what cannot run by audio, what fails before, and what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.scenario.audio import estimate, unsupported
from tests.engine.scenario.folder import HEAD, MOCKS, read, write

HOOKFLASH = Path(sys.executable).with_name("hookflash")
SCRIPT = 'script: [{press: "1"}, {expect: {step: choice, outcome: "1"}}]\n'
TEST = HEAD + MOCKS + SCRIPT


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["test", "--audio", *map(str, arguments)])


def given(text: str) -> str:
    return TEST.replace("given: {", f"given: {{{text}, ")


@pytest.mark.parametrize(
    ("test", "why"),
    [
        (given('did: "reception"'), "'reception' cannot be dialled (given.did)"),
        (given('caller: {number: "unknown"}'), "no telephone shows such a caller (given.caller)"),
        (given("headers: {Subject: order}"), "the header Subject does not get through to flows (given.headers)"),
        (
            TEST.replace("{answer: 4s, hangs_up_after: 10s}", "{busy: 2s, sip_code: 600}"),
            "no telephone answers with a code of its own choice (mocks.targets.desk)",
        ),
    ],
)
def test_what_cannot_run_by_audio_is_told_counted_and_fails(tmp_path: Path, test: str, why: str) -> None:
    path = write(tmp_path, test)
    result = run(tmp_path, "--junit", tmp_path / "results.xml")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[:4] == [
        "1 test by audio, 4 at a time: about 0 s", str(path), "  NO AUDIO  it", f"        {path}:1:1: {why}"
    ]  # fmt: skip
    assert "1 of the failed cannot run by audio" in lines
    assert lines[-1].startswith("0 passed, 1 failed; ")
    assert ET.parse(tmp_path / "results.xml").getroot().get("failures") == "1"


def test_what_a_telephone_can_do_is_not_refused(tmp_path: Path) -> None:
    test = given('did: "+4930123", caller: {number: "", name: Ada Löwe}, headers: {X-Account: A1}')
    assert unsupported(read(tmp_path, test)[0]) == []


def test_what_fails_on_the_virtual_line_is_not_called(tmp_path: Path) -> None:
    write(tmp_path, TEST.replace('outcome: "1"', "outcome: no_input"))
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "  FAIL  it  (0 s on the telephone in " in result.output
    assert "on the virtual line already" in result.output
    assert "choice (shop.flow.yaml:10) ended with 1" in result.output


def test_how_long_calls_take_side_by_side() -> None:
    assert estimate([10, 20, 30], 1) == 60
    assert estimate([10, 20, 30, 5], 2) == 40
    assert estimate([], 4) == 0


@pytest.mark.asterisk
def test_where_there_can_be_no_asterisk_it_says_what_to_install(tmp_path: Path) -> None:
    """A machine without apt and without an Asterisk."""
    write(tmp_path, TEST)
    bare = {**os.environ, "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [HOOKFLASH, "test", "--audio", tmp_path], env=bare, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "tests cannot run by audio" in done.stderr
    assert "install" in done.stderr.lower()
    assert "Traceback" not in done.stderr
