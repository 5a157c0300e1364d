"""What a step of a flow costs the engine: calls on the virtual line under the virtual clock, so that nothing waits.

The steps are the usual ones that need nobody: expressions, a variable, a branch, a loop. A call without them is the
floor: what is left over, divided by the steps, is their price with everything that belongs to a step (its conditions,
its outcome, its trace, the look at handlers, the save of the record into memory).
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Final

from structlog.testing import capture_logs

from bench.figures import Spread, spread
from engine.call import Call
from engine.line import Facts
from engine.scenario import world
from engine.verb import installed
from engine.virtual import VirtualLine, VirtualProvider
from engine.virtual import run as run_virtually
from flows.flow import Flow
from flows.language import Language
from flows.library import Library

TURNS: Final = 90  # of the loop, four steps each; a call runs 1,000 steps at most
CALLS: Final = 15  # measured, after one that warms up

FLOW = """
flow: bench/{name}
vars: {{count: {{type: integer, default: 0}}, name: {{type: string, default: Ada}}}}
steps:
  - repeat:
      max: {turns}
      steps:
        - set: {{count: "${{vars.count + 1}}"}}
        - switch: {{value: "${{vars.name}}", cases: {{Ada: [{{set: {{name: "${{vars.name + 'x'}}"}}}}]}}}}
          when: vars.count > 0 && vars.name != ''
        - set: {{name: Ada}}
  - hangup: {{}}
"""


def step_overhead() -> Spread:
    """Milliseconds of CPU for one step."""
    with tempfile.TemporaryDirectory() as folder:
        for name, turns in (("floor", 1), ("steps", TURNS + 1)):
            (Path(folder) / f"{name}.flow.yaml").write_text(FLOW.format(name=name, turns=turns))
        loaded = Language(installed()).load([folder])
    if loaded.library is None or loaded.problems:
        raise ValueError("; ".join(map(str, loaded.problems)))
    library = loaded.library
    floors = [_measured(library, library.flows["bench/floor"]) for _ in range(CALLS)]
    floor, of_floor = median(seconds for seconds, _ in floors), floors[0][1]
    taken = [_measured(library, library.flows["bench/steps"]) for _ in range(CALLS + 1)][1:]
    found = spread([(seconds - floor) / (ran - of_floor) * 1000 for seconds, ran in taken])
    assert found is not None
    return found


def _measured(library: Library, flow: Flow) -> tuple[float, int]:
    """CPU of one call for the steps that it ran."""
    with capture_logs():
        began = time.process_time()
        ran = run_virtually(_call(library, flow))
    return time.process_time() - began, ran


async def _call(library: Library, flow: Flow) -> int:
    facts = Facts(id="bench", did="+14155550100", caller="+14155550199", trunk="bench", headers={}, channel="bench")
    nothing = asyncio.Event().set
    services = world.services(VirtualProvider(), world.Endpoints((), nothing), nothing)
    call = Call(VirtualLine(facts), flow, library, services)
    record = await call.run()
    if record.outcome != "completed":
        raise ValueError(f"the call of the benchmark ended as {record.outcome}: {record.error}")
    return len(record.steps)
