"""Flows that somebody broke: bytes, lines, keys and values of the examples, changed at random. Each is refused or
taken, in bounded time, and every mistake has a place."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

import flows
from engine.scenario.file import ScenarioReader
from engine.verb import installed
from flows.language import Language

EXAMPLES = Path(flows.__file__).parent / "examples"
SOURCES = sorted(EXAMPLES.glob("*/*.yaml"))
SLOWEST = 2.0  # seconds for one file on a busy machine; the usual is a hundredth of it
ODD = (
    "${", "}", "${vars.", "&a", "*a", "!!python/object:os.system", "\t", "- ", ": ", "{", "[", '"', "'", "|\n", "\0",
    "\ufeff", "no", "1e999", "0x1F", "9" * 400, "?", "<<: *a",
    "---\n", "...\n", "\x85", "😀", "a" * 2000, "((((((((((", "-1",
    "${[1,2,3].map(x, [1,2,3].map(y, x*y))}", "${'a'.matches('(a+)+$')}", "2026-13-40", "null", "~", "# ",
)  # fmt: skip


def mutated(source: str, dice: random.Random) -> bytes:
    """One to four changes."""
    text = source
    for _ in range(dice.randint(1, 4)):
        lines = text.splitlines(keepends=True) or ["\n"]
        at = dice.randrange(len(lines))
        match dice.randrange(8):
            case 0:
                lines[at] = ""
            case 1:
                lines.insert(at, lines[dice.randrange(len(lines))])
            case 2:
                other = dice.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = " " * dice.randint(1, 5) + lines[at]
            case 4:
                lines[at] = lines[at].removeprefix("  ")
            case 5:
                key, colon, rest = lines[at].partition(":")
                lines[at] = key + dice.choice("xyz ") + colon + rest
            case 6:
                column = dice.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:column] + dice.choice(ODD) + lines[at][column:]
            case _:
                key, colon, _ = lines[at].partition(":")
                lines[at] = f"{key}{colon} {dice.choice(ODD)}\n"
        text = "".join(lines)
    data = bytearray(text.encode())
    if dice.random() < 0.2 and data:
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def break_files(folder: Path, seed: int, count: int) -> None:
    """Load so many broken files, each beside its sound neighbours."""
    language, dice = Language(installed()), random.Random(seed)
    tests = ScenarioReader(language, EXAMPLES)
    for number in range(count):
        source = dice.choice(SOURCES)
        made = mutated(source.read_text(), dice)
        broken = folder / source.name
        broken.write_bytes(made)
        began = time.process_time()
        is_test = source.name.endswith(".test.yaml")
        try:
            problems = tests.read(broken).problems if is_test else language.load([broken]).problems
        except Exception as error:
            raise AssertionError(f"seed {seed}, file {number} ({source.name}) crashes the reader:\n{made!r}") from error
        took = time.process_time() - began
        assert took < SLOWEST, f"seed {seed}, file {number} ({source.name}) took {took:.1f} s:\n{made!r}"
        lines = made.count(b"\n") + made.count(b"\r") + 2
        for problem in problems:
            assert problem.code, problem
            assert problem.message, problem
            if problem.file == str(broken):
                assert 1 <= problem.line <= lines, problem
                assert problem.column >= 1, problem
        broken.unlink()


def test_broken_examples_are_refused_in_words(tmp_path: Path) -> None:
    break_files(tmp_path, 1, 400)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(100, 120))
def test_100_000_broken_examples(tmp_path: Path, seed: int) -> None:
    break_files(tmp_path, seed, 5000)
