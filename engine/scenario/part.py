"""Who plays the AI in a scripted call: the script itself, or a text model of which the script says what it must do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

from engine.scenario import world
from engine.scenario.expect import Failure, Unmet
from engine.scenario.fields import ExpectFields, ItemFields, ReplyFields
from engine.scenario.text_voice import TextProvider, TextVoice
from engine.toolbox import FINISH
from engine.virtual import VirtualProvider, VirtualVoice
from flows.json_schema import plain


class Part(Protocol):
    """What the scripted caller must know of whoever plays the AI."""

    @property
    def provider(self) -> VirtualProvider:
        """Its voices."""

    def prepare(self, reply: ReplyFields | None) -> None:
        """The caller is about to speak, and this is to follow."""

    def goes_on(self, reply: ReplyFields | None) -> bool:
        """Whether it has not finished its answer."""

    def check(self, item: ItemFields) -> None:
        """It has answered. Raises `Unmet` when it did not do what the script says."""

    def asserts(self, expected: ExpectFields) -> bool:
        """Whether this expectation counts."""


class ScriptedPart:
    """Does what the script says."""

    def __init__(self, provider: VirtualProvider) -> None:
        self.provider = provider
        self._voice: VirtualVoice | None = None  # who is spoken to

    def prepare(self, reply: ReplyFields | None) -> None:
        """Learn the answer."""
        self._voice = self.provider.voices[-1]
        self.provider.replies.extend(world.replies(reply))

    def goes_on(self, reply: ReplyFields | None) -> bool:
        """Until its talk is over when it takes an exit or breaks down."""
        assert self._voice is not None
        leaves = reply is not None and (reply.exit is not None or reply.fails)
        return leaves or bool(self.provider.replies) or self._voice.is_busy

    def check(self, item: ItemFields) -> None:
        """The flow may refuse an exit."""
        self.provider.replies.clear()  # what a talk left over is not meant for the next one
        assert self._voice is not None
        for tool, output, refused in self._voice.results:
            if tool == FINISH and refused and item.converse is not None:
                exit = item.converse.exit
                raise Unmet(Failure(item.where, f"the AI takes the exit {exit}", f"the flow refused it: {output}"))

    def asserts(self, expected: ExpectFields) -> bool:
        """All of them."""
        return True


class ModelledPart:
    """A model decides; exits and tools are compared with the script, its words are not."""

    def __init__(self, provider: TextProvider, script: tuple[ItemFields, ...]) -> None:
        self.provider: TextProvider = provider
        self._words = [item.converse.says for item in script if item.converse is not None and item.converse.says]
        self._words.append(world.ACKNOWLEDGES)
        self._talk: TextVoice | None = None  # who is spoken to
        self._met: set[str] = set()  # its calls of tools that were expected

    @property
    def _voice(self) -> TextVoice:
        assert self._talk is not None
        return self._talk

    def prepare(self, reply: ReplyFields | None) -> None:
        """A breakdown is the test's, whatever the model would say."""
        latest = self.provider.voices[-1]
        assert isinstance(latest, TextVoice)
        if latest is not self._talk:
            self._talk = latest
            self._met.clear()
        latest.doomed = reply is not None and reply.fails

    def goes_on(self, reply: ReplyFields | None) -> bool:
        """Until it has nothing more to say, or its talk is over."""
        voice = self._voice
        return voice.doomed or voice.is_busy or voice.left is not None

    def check(self, item: ItemFields) -> None:
        """The tools, in any order, and the exit. A tool counts that was used earlier in the same talk."""
        voice, reply = self._voice, item.converse or ReplyFields()
        for name, arguments in reply.tools.items():
            wanted = plain(arguments)
            fits = (call for call in voice.used if call.name == name and call.id not in self._met)
            call = next((call for call in fits if meant(call.arguments, wanted)), None)
            if call is None:
                raise Unmet(Failure(item.where, f"the AI uses {_shown(name, wanted)}", self._did()))
            self._met.add(call.id)
        if reply.exit is None:
            if voice.left is not None:
                raise Unmet(Failure(item.where, "the AI goes on talking", self._did()))
            return
        if voice.left is None or voice.left.arguments.get("exit") != reply.exit:
            raise Unmet(Failure(item.where, f"the AI takes the exit {reply.exit}", self._did()))
        data = voice.left.arguments.get("data")
        if not meant(data, plain(reply.data)):
            expected = f"the exit {reply.exit} with data that holds {_json(plain(reply.data))}"
            raise Unmet(Failure(item.where, expected, f"its data: {_json(data)}"))

    def asserts(self, expected: ExpectFields) -> bool:
        """Not the words that the script lets the AI say: a model has its own."""
        return expected.says is None or not any(expected.says.fit(words) for words in self._words)

    def _did(self) -> str:
        voice = self._voice
        if voice.left is not None:
            return f"it took the exit {voice.left.arguments.get('exit')}"
        refused = [
            f"the flow refused {tool}: {output}" for tool, output, more in voice.results if tool == FINISH and more
        ]
        used = [_shown(call.name, call.arguments) for call in voice.used if call.name != FINISH]
        said = [f'it said "{voice.latest}"'] if voice.latest else []
        return "; ".join([*refused, f"it used {', '.join(used)}" if used else "it used no tool", *said])


def meant(whole: Any, part: Any) -> bool:
    """Whether everything in ``part`` is in ``whole``, where texts need only hold what ``part`` says, in any case."""
    if part is None:
        return True
    if isinstance(part, str):
        return isinstance(whole, str) and " ".join(part.casefold().split()) in " ".join(whole.casefold().split())
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(key in whole and meant(whole[key], part[key]) for key in part)
    if isinstance(part, list | tuple):
        return isinstance(whole, list | tuple) and len(whole) == len(part) and all(map(meant, whole, part))
    return bool(whole == part)


def _shown(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({_json(arguments)})"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str).encode(errors="replace").decode()
