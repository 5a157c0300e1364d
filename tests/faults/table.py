"""The fault matrix as docs/voices.md prints it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.faults.caller import Heard
from tests.faults.knobs import KNOBS

PAGE = Path(__file__).parents[2] / "docs" / "voices.md"
HEAD = "| What goes wrong |"
ITSELF, NEXT, NOT_THERE = "goes on", "next voice", "–"


def cell(voice: str, heard: Heard | None) -> str:
    """What stands in the table: whether the voice brought the talk to its end itself."""
    if heard is None:
        return NOT_THERE
    return ITSELF if heard.last == voice else NEXT


def table(page: Path) -> Mapping[tuple[str, str], str]:
    """The cells of the page, by knob and voice."""
    lines = page.read_text().splitlines()
    start, end = _place(lines)
    voices = [part.strip().strip("`") for part in lines[start].strip("|").split("|")[1:]]
    found: dict[tuple[str, str], str] = {}
    for line in lines[start + 2 : end]:
        knob, *cells = (part.strip() for part in line.strip("|").split("|"))
        found.update({(knob, voice): cell for voice, cell in zip(voices, cells, strict=True)})
    return found


def write(page: Path, found: Mapping[str, Mapping[str, Heard]]) -> None:
    """Put what was found, by voice and knob, in the place of the page's table."""
    lines = page.read_text().splitlines()
    start, end = _place(lines)
    voices = sorted(found)
    made = [f"{HEAD} {' | '.join(f'`{voice}`' for voice in voices)} |", "|---" * (len(voices) + 1) + "|"]
    for knob in KNOBS:
        made.append(f"| {knob.text} | {' | '.join(cell(voice, found[voice].get(knob.text)) for voice in voices)} |")
    page.write_text("\n".join([*lines[:start], *made, *lines[end:]]) + "\n")


def _place(lines: list[str]) -> tuple[int, int]:
    start = next((number for number, line in enumerate(lines) if line.startswith(HEAD)), None)
    assert start is not None, f"the page has no table that begins with '{HEAD}'"
    end = next((number for number in range(start, len(lines)) if not lines[number].startswith("|")), len(lines))
    return start, end
