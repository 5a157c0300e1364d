"""An emulator of Azure Speech: its websocket protocol (USP) for recognition and synthesis, with real audio, faults on
demand.

The vendor's own SDK is its only client, so the SDK judges what the emulator says; what the SDK says is checked here.
"""

from tests.emulators.azure_speech.faults import Faults
from tests.emulators.azure_speech.recognition import Recognition
from tests.emulators.azure_speech.server import AzureSpeech
from tests.emulators.azure_speech.synthesis import Synthesis

__all__ = ["AzureSpeech", "Faults", "Recognition", "Synthesis"]
