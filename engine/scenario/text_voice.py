"""A text model that stands in for a voice: on the virtual line words arrive as words, so it needs no ears.

It is told the flow's prompt and tools as a voice is. Thinking takes no virtual time; that it speaks after `THINKS`
virtual seconds is what a good voice needs, and the same however slow the model was.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import Final

from engine.scenario.model import whole_answer
from engine.toolbox import FINISH
from engine.virtual import Calls, Fails, Says, VirtualProvider, VirtualVoice
from engine.virtual.voice import CAPABILITIES, Reply
from engine.virtual.words import duration_ms
from providers.parts import Message, TextModel
from providers.voice import Session, ToolCall, VoiceError, VoiceEvent

THINKS: Final = 0.3  # virtual seconds from the end of a turn to the first words
MOST_IN_A_ROW: Final = 12  # answers while the caller says nothing: a model that uses tools for ever is stopped
NO_ANSWER: Final = '{"error": "no answer yet: the caller spoke first"}'  # of a tool


class TextProvider(VirtualProvider):
    """Satisfies `providers.voice.Provider`. Its voices answer through ``model``."""

    def __init__(
        self, model: TextModel, *, connects_after: float | VoiceError = 0.1, writer: TextModel | None = None
    ) -> None:
        super().__init__(thinks=THINKS, connects_after=connects_after, writer=writer or model)
        self.capabilities = dataclasses.replace(CAPABILITIES, writes=True)
        self.model = model
        self.troubles: list[str] = []  # why the model did not answer

    def voice(self, session: Session) -> VirtualVoice:
        """A voice for one conversation."""
        self.voices.append(TextVoice(self, session, self.model))
        return self.voices[-1]


class TextVoice(VirtualVoice):
    """Satisfies `providers.voice.Voice`. For assertions: the tools that it ``used``, the call of `finish` by which it
    ``left``, its ``latest`` words. A voice that is ``doomed`` breaks down instead of answering.
    """

    def __init__(self, provider: TextProvider, session: Session, model: TextModel) -> None:
        super().__init__(provider, session)
        self.used: list[ToolCall] = []
        self.left: ToolCall | None = None  # accepted by the flow
        self.latest = ""
        self.doomed = False
        self._asks = model
        self._troubles = provider.troubles
        role = {"caller": "user", "voice": "assistant"}
        self._said = [Message(role[one.role], one.text) for one in session.history]  # type: ignore[arg-type]
        self._taken_in = 0  # of what was heard
        self._answers: dict[str, str] = {}  # by the id of a tool's call
        self._open: set[str] = set()  # calls of the latest answer that have no result
        self._owed = False  # … and whether their results are to be answered
        self._ids = itertools.count(1)  # a model's own ids may come twice
        self._in_a_row = 0
        self._thinking: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is being given, thought of, or owed."""
        return super().is_busy or self._thinking is not None or bool(self._open)

    async def say(self, text: str) -> None:
        """Speak this text to the letter."""
        self._said.append(Message("assistant", text))
        await super().say(text)

    async def truncate(self, item: str, played_ms: int) -> None:
        """The model is told how much of its latest words was heard."""
        await super().truncate(item, played_ms)
        for index in range(len(self._said) - 1, -1, -1):
            message = self._said[index]
            if message.role == "assistant" and message.text:
                heard = message.text[: len(message.text) * played_ms // duration_ms(message.text)]
                self._said[index] = dataclasses.replace(message, text=f"{heard}… (the caller interrupted)")
                return

    async def tool_result(self, call_id: str, output: str, *, respond: bool = True) -> None:
        """The next answer comes when all tools of this one have answered, unless none of them wants one."""
        name = self._tool_names.get(call_id, call_id)
        self.results.append((name, output, respond))
        self._answers[call_id] = output
        if name == FINISH and not respond:
            self.left = next(call for call in self.used if call.id == call_id)
        self._open.discard(call_id)
        self._owed = self._owed or respond
        if self._owed and not self._open:
            self._owe_next()

    # ── Thinking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _owe_next(self) -> None:
        self._stop_thinking()  # a newer turn, or a late result, is to be answered as well
        self._open.clear()
        self._owed = False
        if self.doomed:
            self._owe([Fails("the test says that it fails")])
        else:
            self._thinking = asyncio.get_running_loop().create_task(self._think(), name="the model thinks")

    async def _think(self) -> None:
        try:
            reply = await self._reply()
        except VoiceError as error:
            self._troubles.append(str(error))
            reply = [Fails(str(error), error.code or "model")]
        self._thinking = None
        self._owe(reply)

    async def _reply(self) -> Reply:
        news = self.heard[self._taken_in :]
        self._taken_in = len(self.heard)
        self._said += [Message("user", text) for text in news]
        self._in_a_row = 0 if news else self._in_a_row + 1
        if self._in_a_row > MOST_IN_A_ROW:
            raise VoiceError(f"the model answered {MOST_IN_A_ROW} times in a row: it loops", code="loop")
        text, asked = await whole_answer(self._asks, self._messages(), tools=self.tools)
        calls = tuple(ToolCall(f"call{next(self._ids)}", call.name, call.arguments) for call in asked)
        self._said.append(Message("assistant", text, calls))
        self._open = {call.id for call in calls}
        self.latest = text or self.latest
        return [*([Says(text)] if text else []), *(Calls(call.name, call.arguments, call.id) for call in calls)]

    def _messages(self) -> list[Message]:
        """The conversation so far. Every call of a tool is followed by an answer: models insist on that."""
        told = [Message("system", self.instructions)] if self.instructions else []
        for message in self._said:
            told.append(message)
            told += [Message("tool", self._answers.get(call.id, NO_ANSWER), call=call.id) for call in message.calls]
        return told

    def _emit(self, event: VoiceEvent) -> None:
        if isinstance(event, ToolCall) and not self.closed:
            self.used.append(event)
        super()._emit(event)

    def _stop_thinking(self) -> None:
        if self._thinking is not None:
            self._thinking.cancel()
            self._thinking = None

    def _stop_speaking(self) -> None:
        self._stop_thinking()
        super()._stop_speaking()

    def _over(self) -> None:
        self._stop_thinking()
        self._open.clear()
        super()._over()
