"""Every knob of a voice's emulator, all calls at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from engine.comfort import prepare
from providers import rehearsal
from tests.emulators.synthesiser import synthesiser_in
from tests.emulators.vendors import VENDORS
from tests.engine.verbs.phone import library
from tests.faults.caller import FLOW, Heard, hear
from tests.faults.knobs import KNOBS


async def every_knob(name: str, folder: Path) -> Mapping[str, Heard]:
    """How the calls went, by the knob's text, for the knobs that its protocol has."""
    vendor = VENDORS[name]
    knobs = [knob for knob in KNOBS if knob.word not in vendor.lacks]
    house = library(folder, FLOW % name)
    flite = json.dumps(synthesiser_in(folder))
    prepare("ulaw")
    heard = await asyncio.gather(
        *(hear(vendor, name, knob, house, rehearsal.provider({"flite": flite})) for knob in knobs)
    )
    return {knob.text: one for knob, one in zip(knobs, heard, strict=True)}
