"""The emulator's front: the Live sessions, and the chat completions of the same account under the same address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from tests.emulators.chat_completions.server import Answer
from tests.emulators.chat_completions.server import Emulator as ChatEmulator
from tests.emulators.gpt_live.conversation import LiveConversation
from tests.emulators.gpt_live.surface import LiveSurface
from tests.emulators.openai_realtime.server import Emulator


class LiveEmulator(Emulator):
    """`work` is what the text model answers that does what is handed on; the last answer is repeated."""

    def __init__(self, *, work: Sequence[Answer] = (), **options: Any) -> None:
        super().__init__(surface=LiveSurface, talk=LiveConversation, **options)
        self.worker = ChatEmulator(work)

    def application(self) -> web.Application:
        app = super().application()
        app.router.add_post("/v1/chat/completions", self.worker.answer)
        return app

    async def live(self, number: int = 0) -> LiveConversation:
        """The conversation that came as number so-and-so."""
        found = await self.conversation(number)
        assert isinstance(found, LiveConversation)
        return found
