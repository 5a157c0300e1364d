"""What a vendor reports is what is counted: nothing twice, nothing left out. Bills are added up from its own frames."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import pytest

from providers import gemini
from providers.duplex_backend import BackendCalls
from providers.gemini_live import Live
from providers.realtime_dialects import GROK
from providers.realtime_socket import RealtimeVoice
from providers.voice import (
    ULAW,
    Audio,
    Metered,
    Session,
    SpeechStarted,
    ToolCall,
    TurnDone,
    Usage,
    Used,
    UserText,
    VoiceEvent,
)
from tests.emulators.gemini_live import GeminiConversation, GeminiSurface
from tests.emulators.openai_realtime import Call, Emulator, Faults, Say, silence, tone
from tests.emulators.openai_realtime.conversation import Conversation
from tests.providers.conftest import KEY, Owner, session
from tests.providers.dialect import Provider
from tests.providers.test_realtime_vendors import LOOKUP, VENDORS, at

CLOSE_WITHIN = 2.0  # seconds that the engine has for it
A_TURN = tone(300) + silence(700)
TOKENS = {"text_tokens": "text", "audio_tokens": "audio"}


def counted(events: Iterable[VoiceEvent], left: Iterable[Usage] = ()) -> Counter[tuple[str, str]]:
    """What the events and the rest add up to, by model and kind."""
    told = [event.usage for event in events if isinstance(event, TurnDone | Used)]
    sums: Counter[tuple[str, str]] = Counter()
    for usage in [*told, *left]:
        for field in fields(usage):
            value = getattr(usage, field.name)
            if field.name not in ("model", "provider") and value:
                sums[usage.model, field.name] += value
    return sums


class Bill:
    """What the vendor has told, frame by frame, before any fault doubles it."""

    def __init__(self, emulator: Emulator) -> None:
        assert emulator.oracle is not None
        judge = emulator.oracle.server
        self.frames: list[dict[str, Any]] = []

        def note(frame: dict[str, Any]) -> None:
            self.frames.append(frame)
            judge(frame)

        emulator.oracle.server = note  # type: ignore[method-assign]

    def tokens(self, model: str) -> Counter[tuple[str, str]]:
        sums: Counter[tuple[str, str]] = Counter()
        for frame in self.frames:
            if frame["type"] == "response.done":
                usage = frame["response"].get("usage") or frame.get("usage")
                for side in ("input", "output"):
                    for key, kind in TOKENS.items():
                        sums[model, f"{side}_{kind}"] += usage[f"{side}_token_details"][key]
                sums[model, "cached"] += usage["input_token_details"]["cached_tokens"]
        return +sums

    def transcripts(self, model: str) -> Counter[tuple[str, str]]:
        ended = [f for f in self.frames if f["type"].endswith("input_audio_transcription.completed") and f.get("usage")]
        return +Counter({(model, "seconds_heard"): sum(frame["usage"]["seconds"] for frame in ended)})


async def talked(owner: Owner) -> None:
    """A greeting, an answer that the caller cuts off, a tool and its answer."""
    await owner.voice.say("Good day.")
    await owner.next(TurnDone)
    await owner.hear(A_TURN)
    heard = len(owner.of(Audio))
    await owner.next(Audio, heard)
    await owner.hear(tone(300))
    await owner.next(SpeechStarted, 1)
    await owner.next(TurnDone, 1)
    await owner.hear(silence(700))
    call = await owner.next(ToolCall)
    await owner.voice.tool_result(call.id, '{"price": 6}')
    await owner.next(TurnDone, 3)


LONG = "This is a long answer that goes on and on, and nobody wants to hear it to its end, and still it goes on."
SCRIPT = [Say(LONG), Call("lookup", {"dish": "soup"}), Say("Six francs.")]
MODELS = {
    "openai": ("gpt-realtime-2.1", "gpt-transcribe"),
    "azure-openai": ("our-deployment", "gpt-transcribe"),
    "azure-voice-live": ("gpt-realtime-2.1", "azure-speech"),
}


@pytest.mark.parametrize("duplicate", [False, True], ids=["", "every-event-twice"])
@pytest.mark.parametrize("name", MODELS)
async def test_the_tokens_of_every_answer_are_counted_once(name: str, duplicate: bool) -> None:
    model, transcription = MODELS[name]
    options = {"script": list(SCRIPT), "heard": ["Soup?", "No, bread."], "pace": 4.0}
    async with at(VENDORS[name], {"tools": (LOOKUP,)}, faults=Faults(duplicate=duplicate), **options) as (
        vendor,
        owner,
    ):
        bill = Bill(vendor)
        await talked(owner)
        assert isinstance(owner.voice, Metered)
        assert counted(owner.events, owner.voice.settle()) == bill.tokens(model) + bill.transcripts(transcription)
        assert bill.tokens(model)[model, "output_audio"] > 0
        assert len(owner.of(TurnDone)) == 4


async def test_grok_charges_for_audio_both_ways_and_for_items() -> None:
    async with at(VENDORS["grok"], {"tools": (LOOKUP,)}, script=list(SCRIPT), pace=4.0) as (emulator, owner):
        bill = Bill(emulator)
        await talked(owner)
        assert isinstance(owner.voice, Metered)
        await owner.hear(silence(400))
        found = counted(owner.events, owner.voice.settle())
        sent = [frame for frame in bill.frames if frame["type"] == "response.output_audio.delta"]
        spoken = sum(len(frame["delta"].rstrip("=")) * 3 // 4 for frame in sent) / 8000
        items = [
            event["item"] for event in (await emulator.conversation()).client_events
            if event["type"] == "conversation.item.create"
        ]  # fmt: skip
        model = "grok-voice-latest"
        assert found[model, "seconds_heard"] == pytest.approx(2 * 1.0 + 0.4)
        assert found[model, "seconds_spoken"] == pytest.approx(spoken)
        assert [item["type"] for item in items] == ["force_message", "function_call_output"]
        assert found[model, "items"] == 1, "the result of a tool is free"
        assert list(owner.voice.settle()) == [], "nothing is told twice"


async def left_in_the_middle(voice: RealtimeVoice) -> list[VoiceEvent]:
    """An owner who stops reading while an answer is given, and closes: the events that were read."""
    await voice.connect()
    events: list[VoiceEvent] = []

    async def read() -> None:
        async for event in voice.events():
            events.append(event)
            if isinstance(event, Audio):
                begun.set()

    begun = asyncio.Event()
    reading = asyncio.create_task(read())
    await voice.say(LONG)
    async with asyncio.timeout(5):
        await begun.wait()
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    async with asyncio.timeout(CLOSE_WITHIN):
        await voice.close()
    return events


@pytest.mark.parametrize("name", MODELS)
async def test_an_answer_that_the_end_of_the_talk_cuts_off_is_counted(name: str) -> None:
    vendor = VENDORS[name]
    async with Emulator(surface=vendor.surface, pace=1.0) as emulator:
        bill = Bill(emulator)
        provider = vendor.make({"api_key": KEY, **vendor.settings(emulator)})
        voice = provider.voice(session())
        events = await left_in_the_middle(voice)
        found = counted(events, voice.settle())
        await provider.close()
    assert found == bill.tokens(MODELS[name][0])
    assert found[MODELS[name][0], "output_audio"] > 0


async def test_gemini_is_asked_for_the_end_of_a_turn_too() -> None:
    async with Emulator(surface=GeminiSurface, talk=GeminiConversation, pace=1.0) as emulator:
        provider = gemini.provider({"api_key": KEY, "base_url": f"ws://127.0.0.1:{emulator.port}"})
        voice = provider.voice(session())
        events = await left_in_the_middle(voice)
        found = counted(events, voice.settle())
        await provider.close()
    model = "gemini-3.8-live"
    assert found == Counter({(model, "input_text"): 10, (model, "input_audio"): 30, (model, "output_audio"): 20})


async def test_a_vendor_that_tells_nothing_more_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Emulator(pace=1.0) as emulator:
        provider = VENDORS["openai"].make({"api_key": KEY, "base_url": emulator.url})
        voice = provider.voice(session())
        monkeypatch.setattr(Conversation, "_cancel", lambda self, event: None)
        events = await left_in_the_middle(voice)
        assert counted(events, voice.settle()) == Counter()
        await provider.close()


def test_the_model_behind_gpt_live_is_counted_once() -> None:
    calls = BackendCalls(lambda call, why: None, "m")
    for kind, id in (("completed", "r1"), ("completed", "r1"), ("incomplete", "r2"), ("completed", None)):
        calls.receive("d", {"type": f"response.{kind}", "response": {"id": id, "usage": {"input_tokens": 5}}})
    assert calls.take_usage() == Usage(input_text=15, model="m")
    assert calls.take_usage() == Usage()


def test_usage_adds_up() -> None:
    one, another = Usage(1, 2, 3, 4, 5, model="m"), Usage(10, seconds_heard=0.5, provider="p")
    assert one + another == Usage(11, 2, 3, 4, 5, seconds_heard=0.5, model="m", provider="p")
    assert (one + Usage(model="n")).model == ""


JUNK = ["x", [1], 7, {"input_token_details": 3}, {"input_token_details": {"text_tokens": "many", "audio_tokens": -4}},
        {"output_token_details": {"text_tokens": 1e300, "audio_tokens": True}}, {"seconds": "long"}]  # fmt: skip


@pytest.mark.parametrize("usage", JUNK)
def test_usage_that_makes_no_sense_counts_nothing_and_costs_no_event(usage: Any) -> None:
    provider = Provider(model="m")
    provider.created()
    ended = {"id": "resp_1", "status": "completed", "usage": usage}
    assert provider.send("response.done", response=ended) == [TurnDone("completed", Usage(model="m"))]
    kind = "conversation.item.input_audio_transcription.completed"
    [text, *used] = provider.send(kind, item_id="item_1", content_index=0, transcript="Hello.", usage=usage)
    assert text == UserText("Hello.", item="item_1")
    assert counted(used) == Counter()


@pytest.mark.parametrize("usage", [*JUNK, {"promptTokenCount": "many", "promptTokensDetails": [3, {"modality": []}]}])
def test_usage_of_gemini_that_makes_no_sense_costs_no_event_either(usage: Any) -> None:
    turn = {"serverContent": {"turnComplete": True}, "usageMetadata": usage}
    events, _ = told_by_gemini({"setupComplete": {}}, turn)
    assert events[-1] == TurnDone("completed", Usage(model="gemini-3.8-live"))


def test_an_answer_that_was_given_up_is_charged_for_when_it_ends_after_all() -> None:
    provider = Provider(model="m")
    provider.created()
    provider.realtime.give_up_waiting()
    usage = {"input_token_details": {"text_tokens": 50}, "output_token_details": {"audio_tokens": 3}}
    ended = {"id": "resp_1", "status": "completed", "usage": usage}
    used = [Used(Usage(input_text=50, output_audio=3, model="m"))]
    assert provider.send("response.done", response=ended) == used
    assert provider.send("response.done", response=ended) == []


def test_cached_tokens_are_told_by_their_kind() -> None:
    provider = Provider(model="m")
    provider.created()
    inputs = {"text_tokens": 50, "audio_tokens": 80, "cached_tokens": 90, "cached_tokens_details": {"audio_tokens": 60}}
    usage = {"input_token_details": inputs}
    [done] = provider.send("response.done", response={"id": "resp_1", "status": "completed", "usage": usage})
    assert done.usage == Usage(50, 80, 90, cached_audio=60, model="m")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("told", "used"),
    [
        ({"type": "duration", "seconds": 3.5}, [Used(Usage(seconds_heard=3.5, model="gpt-transcribe"))]),
        ({"type": "tokens", "input_tokens": 31, "output_tokens": 9, "total_tokens": 40,
          "input_token_details": {"text_tokens": 1, "audio_tokens": 30}},
         [Used(Usage(1, 30, 0, 9, model="gpt-transcribe"))]),
        (None, []),
    ],
)  # fmt: skip
def test_a_transcript_is_another_models_work_and_counted_once(told: Any, used: list[Used]) -> None:
    provider = Provider(model="m")
    fields = {"item_id": "item_1", "content_index": 0, "transcript": "Hello.", "usage": told}
    kind = "conversation.item.input_audio_transcription.completed"
    assert provider.send(kind, **fields)[1:] == used
    assert provider.send(kind, **fields)[1:] == []


def test_audio_that_came_too_late_to_be_heard_was_sent_all_the_same() -> None:
    provider = Provider(dialect=GROK, model="m")
    provider.created()
    provider.audio(b"\xff" * 800)
    provider.send("input_audio_buffer.speech_started", audio_start_ms=0, item_id="u1")
    assert provider.audio(b"\xff" * 1600) == []
    assert provider.realtime.settle() == (Usage(seconds_spoken=0.3, model="m"),)


def told_by_gemini(*messages: dict[str, Any]) -> tuple[list[VoiceEvent], Live]:
    live = Live(Session(format=ULAW), {"model": "models/gemini-3.8-live"})
    events: list[VoiceEvent] = []
    for message in messages:
        events += live.receive(json.dumps(message).encode())
    return events, live


def test_gemini_counts_every_snapshot_and_what_the_details_leave_open_as_text() -> None:
    snapshot = {
        "promptTokenCount": 522, "responseTokenCount": 42, "totalTokenCount": 707, "thoughtsTokenCount": 136,
        "toolUsePromptTokenCount": 7, "cachedContentTokenCount": 100,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 332}, {"modality": "AUDIO", "tokenCount": 165}],
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 42}],
        "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 60}, {"modality": "TEXT", "tokenCount": 40}],
    }  # fmt: skip
    turn = {"serverContent": {"turnComplete": True}}
    once = {"input_text": 522 - 165 + 7, "input_audio": 165, "cached": 100, "cached_audio": 60}
    once |= {"output_text": 136, "output_audio": 42}
    events, live = told_by_gemini(
        {"setupComplete": {}}, {"usageMetadata": snapshot}, {**turn, "usageMetadata": snapshot}, turn
    )
    assert counted(events) == Counter({("gemini-3.8-live", kind): 2 * number for kind, number in once.items()})
    assert live.settle() == ()


def test_gemini_tells_at_the_end_what_a_turn_used_that_was_cut_off() -> None:
    call = {"toolCall": {"functionCalls": [{"id": "1", "name": "finish", "args": {}}]}}
    events, live = told_by_gemini({"setupComplete": {}}, {**call, "usageMetadata": {"promptTokenCount": 9}})
    assert counted(events) == Counter()
    assert live.settle() == (Usage(input_text=9, model="gemini-3.8-live"),)
    assert live.settle() == ()
