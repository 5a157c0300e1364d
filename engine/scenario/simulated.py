"""A caller whom a model plays, from a brief: it hears what the line says, and speaks, presses keys or hangs up."""

from __future__ import annotations

import asyncio
from typing import Final

from engine.scenario.expect import Failure, Unmet
from engine.scenario.fields import SimulateFields
from engine.scenario.model import whole_answer
from engine.virtual import CallOver, VirtualLine, VirtualProvider
from providers.parts import Message, TextModel
from providers.voice import Tool, ToolCall, VoiceError

NOTICES: Final = 0.1  # seconds between two looks: a person notices a pause, not an event
PAUSE: Final = 0.8  # seconds of quiet behind words, then the caller acts
PATIENCE: Final = 8.0  # seconds of quiet without words, then they act as well
LONGEST: Final = 600.0  # seconds that they hold the line, for music or ringing; then they hang up
TALKS_TO_PERSON: Final = 60.0  # seconds; then they hang up, if the person has not
BETWEEN_KEYS: Final = 0.3
KEYS: Final = frozenset("0123456789*#")

TOOLS: Final = (
    Tool(
        "press_keys", "Press keys of the telephone. Only when the line asks for keys, or your brief tells you to.",
        {
            "type": "object", "properties": {"keys": {"type": "string", "description": "0 to 9, * and #, in order"}},
            "required": ["keys"], "additionalProperties": False,
        },
    ),
    Tool("wait", "Say and do nothing for now.", {"type": "object", "properties": {}, "additionalProperties": False}),
    Tool("hang_up", "End the call.", {"type": "object", "properties": {}, "additionalProperties": False}),
)  # fmt: skip
RULES: Final = """You play a person who calls a company by telephone, to test the company's telephone system.
You are never the company: what you are sent is what you hear on the line. Answer with nothing but the words that you
say: short, natural, one thought at a time, without stage directions. To press keys, to wait or to hang up use tools.
Answer what you are asked from your brief; what it does not say, make up plausibly and keep to it.
When you have what you want, or it is clear that you will not get it, say goodbye and hang up."""
SILENCE: Final = "(silence)"


class SimulatedCaller:
    """Plays one call on a virtual line."""

    def __init__(self, line: VirtualLine, provider: VirtualProvider, model: TextModel, fields: SimulateFields) -> None:
        self._line = line
        self._provider = provider  # of the AI, who may be busy
        self._model = model
        self._fields = fields
        goal = f"\n\nYour goal: {fields.goal}" if fields.goal else ""
        self._said = [Message("system", f"{RULES}\n\nYour brief: {fields.brief}{goal}")]
        self._heard = 0  # entries of the log

    async def calls(self) -> None:
        """The whole call. Raises `Unmet` when it takes too many turns, or the model does not answer."""
        try:
            for _ in range(self._fields.max_turns):
                if not await self._is_their_turn():
                    return
                await self._act()
        except CallOver:
            return
        if await self._is_their_turn():
            turns = self._fields.max_turns
            raise Unmet(
                Failure(self._fields.where, f"the call is over after {turns} turns of the caller", "it went on")
            )

    async def _is_their_turn(self) -> bool:
        """Wait until the line is quiet after words, or too long. False when the call is over, or was long enough."""
        quiet = held = talked = 0.0
        while held < LONGEST and talked < TALKS_TO_PERSON:
            if self._line.ended.done():
                return False
            if self._line.connected is not None:  # what they say to each other is their own affair
                talked += NOTICES
            quiet = 0.0 if self._is_busy() else quiet + NOTICES
            if quiet > (PAUSE if self._news() else PATIENCE):
                return True
            await asyncio.sleep(NOTICES)
            held += NOTICES
        return False

    def _is_busy(self) -> bool:
        """Whether the line speaks, plays, rings, or looks something up."""
        line, voices = self._line, self._provider.voices[-1:]
        plays = line.media is not None and line.media.is_playing
        rings = any(not leg.ended.done() for leg in line.legs)
        thinks = any(not voice.closed and voice.is_busy for voice in voices)
        return not line.is_answered or plays or rings or thinks or line.connected is not None

    async def _act(self) -> None:
        """Ask the model, and do what it says: words first, then keys, then the end."""
        heard = " ".join(self._news())
        self._heard = len(self._line.log.entries)
        self._said.append(Message("user", heard or SILENCE))
        try:
            text, calls = await whole_answer(self._model, self._said, tools=TOOLS)
        except VoiceError as error:
            raise Unmet(Failure(self._fields.where, "the caller's model answers", str(error))) from None
        self._said.append(Message("assistant", text, calls))
        self._said += [Message("tool", "done", call=call.id) for call in calls]
        if text:
            await self._line.caller.says(text)
        for call in calls:
            await self._use(call)

    async def _use(self, call: ToolCall) -> None:
        if call.name == "press_keys":
            keys = "".join(key for key in str(call.arguments.get("keys", "")) if key in KEYS)
            await self._line.caller.presses(keys, BETWEEN_KEYS)
        elif call.name == "hang_up":
            await self._line.caller.hangs_up()

    def _news(self) -> list[str]:
        """What was heard since they acted."""
        entries = self._line.log.entries[self._heard :]
        return [one.text for one in entries if one.who == "caller" and one.what in ("heard", "cut") and one.text]
