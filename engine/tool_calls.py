"""What comes of the model's tool calls while the talk goes on: each runs beside it, and its answer goes to whoever
speaks when it is there.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol

from engine.comfort import Hold
from engine.toolbox import FINISH, LEAVES, Toolbox
from engine.turn_events import FinishAsked, ToolClosed, ToolOpened, TurnEvent, VoiceAsked
from providers.voice import ToolCall

if TYPE_CHECKING:
    from engine.succession import Seat, Succession


class Talk(Protocol):
    """What tools need of the conversation."""

    @property
    def seat(self) -> Seat:
        """The voice that talks now."""

    def post(self, event: TurnEvent) -> None:
        """Tell the one place that decides."""

    async def tell(self, command: Awaitable[None]) -> None:
        """Give the voice something."""


class ToolCalls:
    """The calls of one talk."""

    def __init__(self, talk: Talk, toolbox: Toolbox, succession: Succession, hold: Hold) -> None:
        self._talk = talk
        self._toolbox = toolbox
        self._succession = succession
        self._hold = hold
        self._running: dict[str, asyncio.Task[None]] = {}

    async def take(self, call: ToolCall, tasks: asyncio.TaskGroup) -> None:
        """The model asks for a tool, which runs as one of ``tasks``, or to leave the step."""
        if call.name == FINISH and self._toolbox.exits:
            await self._finish(call)
            return
        tool, seat = self._toolbox.tools.get(call.name), self._talk.seat
        key = f"{call.name} {seat.number}{call.id}"
        self._succession.began(key, call.name, json.dumps(dict(call.arguments)))
        self._talk.post(ToolOpened(key, None if tool is None else tool.fills_after))
        self._running[call.id] = tasks.create_task(self._use(call, seat, key), name=f"tool {call.name}")
        await asyncio.sleep(0)  # what is cancelled before it has begun would never tell that it is over

    def cancel(self, id: str) -> None:
        """The model does not want the answer any more."""
        if (task := self._running.get(id)) is not None:
            task.cancel()

    async def _finish(self, call: ToolCall) -> None:
        talk = self._talk
        exit, problem = self._toolbox.finish(call.arguments)
        if exit is None:
            talk.post(VoiceAsked())
            return await talk.tell(talk.seat.voice.tool_result(call.id, json.dumps({"error": problem})))
        await talk.tell(talk.seat.voice.tool_result(call.id, '{"ok": true}', respond=False))
        return self._leave(exit)

    async def _use(self, call: ToolCall, asked_by: Seat, key: str) -> None:
        talk, toolbox = self._talk, self._toolbox
        owed, answer = False, None
        try:
            answer = await toolbox.use(call.name, call.arguments)
            leaves = toolbox.leaves(call.name, answer)
            owed = not (leaves or toolbox.leaving)
        finally:
            self._running.pop(call.id, None)
            self._succession.learn(key, answer)
            talk.post(ToolClosed(key, owed=owed))
            if not self._running:
                await self._hold.stop()
        if toolbox.leaving:  # an answer would be spoken into the farewell
            return
        seat = talk.seat
        if not self._succession.talks(seat):
            pass  # another one is being connected, and is told when it takes the seat
        elif asked_by is seat:
            await talk.tell(seat.voice.tool_result(call.id, answer, respond=owed))
        elif owed and self._succession.has_news:  # whoever asked is gone: the voice that took over is told
            await talk.tell(seat.voice.update(instructions=self._succession.instructions(seat.name)))
            await talk.tell(talk.seat.voice.answer())
        if leaves:
            self._leave(LEAVES + call.name)

    def _leave(self, exit: str) -> None:
        self._toolbox.leaving = True
        self._talk.post(FinishAsked(exit))
