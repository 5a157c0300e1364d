"""The kit's tests of tools: several at once, late and unknown results, calls that are taken back, the last result."""

from __future__ import annotations

from providers.conformance.owner import Owner
from providers.conformance.play import Stage, played
from providers.conformance.scene import Asks, Counterpart, Says, Scene
from providers.voice import Audio, Failed, Tool, ToolCall, ToolCancelled, TurnDone

PRICE = Tool(
    "price", "What a dish costs.",
    {"type": "object", "properties": {"dish": {"type": "string"}}, "required": ["dish"]},
)  # fmt: skip
FINISH = Tool(
    "finish", "Ends the talk.",
    {"type": "object", "properties": {"exit": {"type": "string", "enum": ["ordered"]}}, "required": ["exit"]},
)  # fmt: skip
TOOLS = (PRICE, FINISH)
ONE = Asks((("price", {"dish": "soup"}),))
TWO = Asks((("price", {"dish": "soup"}), ("price", {"dish": "bread"})))
AFTER_WORDS = Asks((("price", {"dish": "soup"}),), say="Let me have a look.")
LEAVE = Asks((("finish", {"exit": "ordered"}),))
ANSWER = "Six and two francs."
HEARD = ("What do soup and bread cost?", "Hello?")


class Tools(Stage):
    """What a flow's tools rely on."""

    @played(Scene((TWO, Says(ANSWER)), HEARD), needs=("script", "tools", "parallel"), tools=TOOLS)
    async def test_several_at_once(self, owner: Owner, other: Counterpart) -> None:
        """Each call comes once, with its arguments; when the last result is in, one answer follows."""
        await owner.a_turn()
        soup, bread = await owner.next(ToolCall), await owner.next(ToolCall, 1)
        assert [(call.name, dict(call.arguments)) for call in (soup, bread)] == list(TWO.calls)
        assert soup.id != bread.id
        await owner.voice.tool_result(bread.id, '{"price": 2}')
        assert owner.of(Audio) == [], "the answer waits for all results"
        await owner.voice.tool_result(soup.id, '{"price": 6}')
        await owner.next(Audio)
        await owner.until(lambda: [done for done in owner.of(TurnDone) if done.item], "the answer ends")
        assert len([done for done in owner.of(TurnDone) if done.item]) == 1
        assert len(owner.of(ToolCall)) == 2
        if "words" in self.plays:
            told = other.told().replace(" ", "").replace('\\"', '"')
            assert '"price":2' in told
            assert '"price":6' in told
        assert owner.of(Failed) == []

    @played(Scene((AFTER_WORDS, Says(ANSWER)), HEARD), needs=("script", "tools", "parallel"), tools=TOOLS)
    async def test_words_before_a_call_are_an_utterance_of_their_own(self, owner: Owner, other: Counterpart) -> None:
        """They end without waiting for the result: a step that is left by a tool waits for their last sound."""
        await owner.a_turn()
        call = await owner.next(ToolCall)
        await owner.until(lambda: [done for done in owner.of(TurnDone) if done.item], "the words end")
        assert owner.said() == [AFTER_WORDS.say]
        await owner.voice.tool_result(call.id, '{"price": 6}')
        await owner.until(lambda: owner.said() == [AFTER_WORDS.say, ANSWER], "the answer follows")
        assert owner.of(Failed) == []

    @played(Scene((ONE, Says(ANSWER), Says("Hello!")), HEARD), needs=("script", "tools"), tools=TOOLS)
    async def test_late_and_unknown_results(self, owner: Owner, other: Counterpart) -> None:
        """A result that came already, or that nobody asked for, is no failure and no second answer."""
        await owner.a_turn()
        call = await owner.next(ToolCall)
        for _ in range(2):
            await owner.voice.tool_result(call.id, '{"price": 6}')
        await owner.voice.tool_result("nobody asked", "{}")
        await owner.until(lambda: [done for done in owner.of(TurnDone) if done.item], "the answer ends")
        await owner.voice.say("Anything else?")
        await owner.until(lambda: len([done for done in owner.of(TurnDone) if done.item]) == 2, "the talk goes on")
        assert len([done for done in owner.of(TurnDone) if done.item]) == 2
        assert owner.of(Failed) == []

    @played(Scene((LEAVE, Says(ANSWER)), HEARD), needs=("script", "tools"), tools=TOOLS)
    async def test_the_last_result_asks_for_no_answer(self, owner: Owner, other: Counterpart) -> None:
        """`respond=False`: the step is ending; the next thing heard is what the owner asks for."""
        await owner.a_turn()
        call = await owner.next(ToolCall)
        assert (call.name, dict(call.arguments)) == ("finish", {"exit": "ordered"})
        await owner.voice.tool_result(call.id, '{"ok": true}', respond=False)
        await owner.voice.say("Goodbye.")
        await owner.until(lambda: [done for done in owner.of(TurnDone) if done.item], "the goodbye ends")
        assert ANSWER not in owner.said()
        assert owner.of(Failed) == []

    @played(Scene((TWO, Says(ANSWER)), HEARD), needs=("script", "tools", "takes_back"), tools=TOOLS)
    async def test_a_call_that_is_taken_back(self, owner: Owner, other: Counterpart) -> None:
        """The owner is told; a result that comes all the same changes nothing."""
        await owner.a_turn()
        soup, bread = await owner.next(ToolCall), await owner.next(ToolCall, 1)
        await other.take_back()
        await owner.next(ToolCancelled, 1)
        assert {event.id for event in owner.of(ToolCancelled)} == {soup.id, bread.id}
        await owner.voice.tool_result(soup.id, '{"price": 987}')
        await owner.voice.say("Anything else?")
        await owner.until(lambda: [done for done in owner.of(TurnDone) if done.item], "the talk goes on")
        if "words" in self.plays:
            assert "987" not in other.told(), "a late result is not sent"
        assert owner.of(Failed) == []

    @played(Scene((ONE, Says(ANSWER)), HEARD), needs=("script", "tools"))
    async def test_tools_may_change(self, owner: Owner, other: Counterpart) -> None:
        """A tool that comes with `update` can be called."""
        await owner.voice.update(tools=TOOLS)
        await owner.a_turn()
        call = await owner.next(ToolCall)
        await owner.voice.tool_result(call.id, '"six"')
        await owner.next(Audio)
        await owner.until(lambda: [done for done in owner.of(TurnDone) if done.item], "the answer ends")
        assert owner.of(Failed) == []
