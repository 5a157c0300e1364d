"""An emulator of chat completions (streamed): the real protocol over a real socket, faults on demand."""

from tests.emulators.chat_completions.server import Answer, Emulator, Faults

__all__ = ["Answer", "Emulator", "Faults"]
