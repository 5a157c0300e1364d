"""An emulator of Gemini Live (BidiGenerateContent): the real protocol with real audio, faults on demand.

It shares script, sound and faults with the emulator of the realtime protocol.
"""

from tests.emulators.gemini_live.conversation import GeminiConversation
from tests.emulators.gemini_live.surface import GeminiSurface

__all__ = ["GeminiConversation", "GeminiSurface"]
