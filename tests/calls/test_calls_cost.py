"""What a real call with the openai voice costs: its record has the vendor's bill, and a cap ends the talk."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from company import TEAMS, Open

from engine.prices import SMALLEST
from tests.emulators.openai_realtime import Call, Emulator, Say

pytestmark = pytest.mark.asterisk

D = Decimal
LONG = "We have a great many dishes, and all of them are good, so let me tell you about every single one of them."
TALK = """
      - converse:
          provider: openai
          greeting: What may it be?
          prompt: You take orders.
          exits: {ordered: {description: The order is complete.}}
        outcomes: {silence: [], max_duration: [], provider_error: []}
"""
A_MILLION = {  # dollars, of gpt-realtime-2.1, as the vendor's page has them
    "text_in": D(4), "audio_in": D(32), "cached": D("0.40"), "text_out": D(24), "audio_out": D(64),
}  # fmt: skip
A_MINUTE = D("0.0045")  # of gpt-transcribe


class Bill:
    """The emulated vendor's own: what it told, frame by frame."""

    def __init__(self, emulator: Emulator) -> None:
        self.frames: list[dict[str, Any]] = []
        assert emulator.oracle is not None
        judge = emulator.oracle.server

        def note(frame: dict[str, Any]) -> None:
            self.frames.append(frame)
            judge(frame)

        emulator.oracle.server = note  # type: ignore[method-assign]

    @property
    def answers(self) -> D:
        """What the answers cost, in dollars."""
        sums = dict.fromkeys(A_MILLION, 0)
        for frame in self.frames:
            if frame["type"] == "response.done":
                told = frame["response"]["usage"]
                heard, spoken = told["input_token_details"], told["output_token_details"]
                sums["text_in"] += heard["text_tokens"] - heard["cached_tokens_details"]["text_tokens"]
                sums["audio_in"] += heard["audio_tokens"] - heard["cached_tokens_details"]["audio_tokens"]
                sums["cached"] += heard["cached_tokens"]
                sums["text_out"] += spoken["text_tokens"]
                sums["audio_out"] += spoken["audio_tokens"]
        return sum((A_MILLION[kind] * count / 1_000_000 for kind, count in sums.items()), D(0))

    @property
    def transcripts(self) -> D:
        """What writing down the caller cost."""
        kind = "conversation.item.input_audio_transcription.completed"
        seconds = sum(D(str(frame["usage"]["seconds"])) for frame in self.frames if frame["type"] == kind)
        return D(seconds) / 60 * A_MINUTE


async def test_the_record_has_the_vendors_bill_with_an_answer_that_was_cut_off(open_company: Open) -> None:
    script = [Say(LONG), Say("A soup, then."), Call("finish", {"exit": "ordered"}, say="Thank you. Goodbye.")]
    emulator = Emulator(script=script, heard=["What is there?", "Stop, a soup.", "That is all."])
    async with emulator:
        bill = Bill(emulator)
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(f"steps:\n{TALK}      - hangup: {{}}\n", voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("What is there?")
            await caller.hears_something()
            await caller.says("Stop, a soup.")
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("That is all.")
            record = await house.ended(caller)
            [sums] = await house.books.store.costs()

    assert any(entry.interrupted for entry in record.transcript), "the caller has cut an answer off"
    found = {entry.model: entry for entry in record.tokens}
    assert set(found) == {"gpt-realtime-2.1", "gpt-transcribe"}
    assert found["gpt-realtime-2.1"].cost == bill.answers
    assert found["gpt-transcribe"].cost == bill.transcripts.quantize(SMALLEST)
    assert record.cost == found["gpt-realtime-2.1"].cost + found["gpt-transcribe"].cost > 0
    assert all(entry.unpriced == [] for entry in record.tokens)
    assert record.steps[0].data["cost"] == pytest.approx(float(record.cost), abs=0.001)
    assert (sums.currency, sums.total.cost, sums.total.calls) == ("USD", record.cost, 1)


async def test_a_call_that_costs_too_much_is_handed_to_a_person(open_company: Open) -> None:
    flow = f"""
    limits: {{cost: 0.01}}
    handlers: [{{event: cost, goto: person}}]
    steps:
{TALK}
      - hangup: {{}}
    sections:
      person:
        - transfer: {{attempts: [{{targets: ["tel:{TEAMS}"]}}]}}
          outcomes: {{failed: []}}
        - hangup: {{}}
    """
    emulator = Emulator(script=[Say(LONG)] * 9, heard=["And then?"] * 9)
    async with emulator:
        voices = {"openai": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(flow, voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            call = await house.live(caller)
            while not call.spending.over.is_set():
                await caller.says("And then?")
                await caller.hears_something()
            await house.connected(caller)
            await caller.hangs_up()
            record = await house.ended(caller)

    assert record.outcome == "handed_off"
    assert D("0.01") <= record.cost < D("0.05")
    assert record.error.startswith("cost: the call cost 0.0")
    ways = [(step.verb, step.outcome) for step in record.steps]
    assert ways == [("converse", "cancelled"), ("transfer", "connected")]
