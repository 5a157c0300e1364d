"""`python -m tests.faults` tries every knob on every voice and prints the table into docs/voices.md."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path

import structlog

from tests.emulators.vendors import VENDORS
from tests.faults.matrix import every_knob
from tests.faults.table import PAGE, write


async def main() -> None:
    found = {}
    for name in VENDORS:
        with tempfile.TemporaryDirectory() as folder:
            found[name] = await every_knob(name, Path(folder))
        longest = max(found[name].items(), key=lambda item: item[1].silence)
        print(f"{name}: the longest silence was {longest[1].silence:.2f} s ({longest[0]})")
    write(PAGE, found)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(main())
