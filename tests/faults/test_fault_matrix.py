"""The fault matrix: whatever a vendor does wrong, no caller hears silence for two seconds, and every talk comes to its
end. Every voice against every knob of its emulator, in real time, all calls of a voice at once.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.emulators.vendors import VENDORS
from tests.faults.knobs import KNOBS
from tests.faults.matrix import SILENCE, every_knob
from tests.faults.table import PAGE, cell, table


@pytest.mark.parametrize("name", VENDORS)
async def test_no_silence_and_no_call_without_an_end(name: str, tmp_path: Path) -> None:
    found = await every_knob(name, tmp_path)
    bad = [
        f"{knob}: {one.outcome}, {one.silence:.2f} s of silence\n{one.log}"
        for knob, one in found.items()
        if one.silence > SILENCE or one.outcome != "person"
    ]
    assert not bad, "\n\n".join(bad)
    page = table(PAGE)
    cells = {knob.text: cell(name, found.get(knob.text)) for knob in KNOBS}
    wrong = {knob: one for knob, one in cells.items() if page.get((knob, name)) != one}
    assert not wrong, f"the page says otherwise of {name} (python -m tests.faults prints its table anew): {wrong}"


def test_the_table_has_every_knob_and_voice_and_no_other() -> None:
    assert set(table(PAGE)) == {(knob.text, name) for knob in KNOBS for name in VENDORS}
