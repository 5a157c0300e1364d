"""An emulated Google Cloud: Speech-to-Text v2 and streaming Text-to-Speech, on the vendor's own messages."""

from tests.emulators.google_speech.faults import Faults
from tests.emulators.google_speech.server import KEY, PROJECT, TOKEN, Emulator

__all__ = ["KEY", "PROJECT", "TOKEN", "Emulator", "Faults"]
