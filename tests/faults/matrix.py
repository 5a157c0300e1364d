"""Every knob of a voice's emulator, all calls at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.comfort import prepare
from providers import rehearsal
from tests.emulators.synthesiser import synthesiser_in
from tests.emulators.vendors import VENDORS
from tests.engine.verbs.phone import library
from tests.faults.caller import FLOW, Heard, hear
from tests.faults.knobs import KNOBS, Knob

SILENCE = 2.0  # seconds, the most
TRIES = 3


async def every_knob(name: str, folder: Path) -> Mapping[str, Heard]:
    """How the calls went, by the knob's text, for the knobs that its protocol has.

    They go on in real time. A call that was too long silent is made again, up to `TRIES` times and with few others at
    the same time: what another program on the machine did to it is not the engine's doing, and what the engine does
    wrong it does again.
    """
    vendor = VENDORS[name]
    knobs = [knob for knob in KNOBS if knob.word not in vendor.lacks]
    found = dict(await _calls(name, folder, knobs))
    for _ in range(TRIES - 1):
        late = [knob for knob in knobs if found[knob.text].silence > SILENCE]
        if not late:
            break
        found |= await _calls(name, folder, late)
    return found


async def _calls(name: str, folder: Path, knobs: Sequence[Knob]) -> Mapping[str, Heard]:
    vendor, house = VENDORS[name], library(folder, FLOW % name)
    flite = json.dumps(synthesiser_in(folder))
    prepare("ulaw")
    heard = await asyncio.gather(
        *(hear(vendor, name, knob, house, rehearsal.provider({"flite": flite})) for knob in knobs)
    )
    return {knob.text: one for knob, one in zip(knobs, heard, strict=True)}
