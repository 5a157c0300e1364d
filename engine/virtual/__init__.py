"""A virtual telephone for tests: a clock that jumps, a line without telephony, a voice that follows a script.

@virtual_time
async def test_busy_target() -> None:
    line = VirtualLine(targets={"pjsip:nurse-1": "busy", "pjsip:nurse-2": {"answer": 9, "hangs_up_after": 30}})
    async with asyncio.TaskGroup() as group:
        group.create_task(Call(line, flow, library, virtual_services(VirtualProvider([[Says("Hello")]]))).run())
        await line.caller.hears("Welcome")
        await line.caller.says("A nurse, please", 1.5)
        await line.log.until("connected", who="pjsip:nurse-2")
    assert line.left_over == []
"""

from engine.virtual.clock import Deadlock, VirtualTimeError, run, virtual_clock, virtual_time
from engine.virtual.house import KeptRecords, virtual_services
from engine.virtual.line import FACTS, Caller, CallOver, VirtualLine
from engine.virtual.log import Entry, Log, NeverHappened
from engine.virtual.outside import Outside, OutsideClosed
from engine.virtual.targets import Target, TargetError
from engine.virtual.voice import Calls, Closes, Fails, Says, Stalls, VirtualProvider, VirtualVoice, Waits

__all__ = [
    "FACTS", "CallOver", "Caller", "Calls", "Closes", "Deadlock", "Entry", "Fails", "KeptRecords", "Log",
    "NeverHappened", "Outside", "OutsideClosed", "Says", "Stalls", "Target", "TargetError", "VirtualLine",
    "VirtualProvider", "VirtualTimeError", "VirtualVoice", "Waits", "run", "virtual_clock", "virtual_services",
    "virtual_time",
]  # fmt: skip
