"""An emulator of OpenAI's Live API (GPT-Live): one stream of sound each way, no turns, work that is handed on.

It shares script, sound and faults with the emulator of the realtime protocol. Beside it answers a text model, which
does the work that is handed on to the client.
"""

from tests.emulators.gpt_live.conversation import LiveConversation
from tests.emulators.gpt_live.server import LiveEmulator
from tests.emulators.gpt_live.surface import LiveSurface

__all__ = ["LiveConversation", "LiveEmulator", "LiveSurface"]
