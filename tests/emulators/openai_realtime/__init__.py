"""An emulator of OpenAI's Realtime API (GA): the real protocol with real audio over a real socket, faults on demand.

`Emulator` holds conversations; `bench/provider.py` is the one for load.
"""

from tests.emulators.faults import Faults
from tests.emulators.openai_realtime.model import Call, Empty, Fail, Say
from tests.emulators.openai_realtime.server import Emulator
from tests.emulators.openai_realtime.sound import silence, tone

__all__ = ["Call", "Empty", "Emulator", "Fail", "Faults", "Say", "silence", "tone"]
