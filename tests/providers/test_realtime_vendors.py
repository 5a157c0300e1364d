"""Every vendor of the realtime protocol against its own surface; its own types judge each frame, where it has some."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from engine.settings_sources import load_settings
from providers import azure_openai, azure_voice_live, grok, openai
from providers.realtime_provider import RealtimeProvider
from providers.voice import (
    ALAW,
    Audio,
    Failed,
    Interrupted,
    Ready,
    SpeechStarted,
    Tool,
    ToolCall,
    TurnDone,
    Usage,
    UserText,
    Utterance,
    VoiceError,
    VoiceText,
    Warned,
)
from tests.emulators.openai_realtime import Call, Emulator, Faults, Say, silence, tone
from tests.emulators.openai_realtime.grok import GrokSurface
from tests.emulators.openai_realtime.sound import tone_voice
from tests.emulators.openai_realtime.surface import Surface
from tests.emulators.openai_realtime.voice_live import VoiceLiveSurface
from tests.providers.conftest import KEY, Owner, owned, session

A_TURN = tone(300) + silence(700)
LOOKUP = Tool("lookup", "Price of a dish.", {"type": "object", "properties": {"dish": {"type": "string"}}})


@dataclass(frozen=True)
class Vendor:
    surface: Callable[[], Surface]
    make: Callable[[Mapping[str, str]], RealtimeProvider]
    settings: Callable[[Emulator], dict[str, str]]


VENDORS = {
    "openai": Vendor(Surface, openai.provider, lambda emulator: {"base_url": emulator.url}),
    "azure-openai": Vendor(
        lambda: Surface(path="/openai/v1/realtime", header="api-key"),
        azure_openai.provider,
        lambda emulator: {"endpoint": emulator.endpoint, "model": "our-deployment"},
    ),
    "azure-voice-live": Vendor(
        VoiceLiveSurface, azure_voice_live.provider, lambda emulator: {"endpoint": emulator.endpoint}
    ),
    "grok": Vendor(GrokSurface, grok.provider, lambda emulator: {"base_url": emulator.url}),
}


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return VENDORS[request.param]


Start = Callable[..., object]


@asynccontextmanager
async def at(
    vendor: Vendor, wanted: dict[str, object] | None = None, **options: object
) -> AsyncIterator[tuple[Emulator, Owner]]:
    """A voice of the vendor in conversation with its emulator; in the end the judge must be content."""
    async with AsyncExitStack() as stack:
        emulator = await stack.enter_async_context(Emulator(surface=vendor.surface, **options))  # type: ignore[arg-type]
        provider = vendor.make({"api_key": KEY, **vendor.settings(emulator)})
        stack.push_async_callback(provider.close)
        owner = await stack.enter_async_context(owned(provider.voice(session(**(wanted or {})))))
        yield emulator, owner
    assert emulator.oracle is not None
    assert emulator.oracle.problems == []
    assert emulator.oracle.checked


async def test_greeting_question_and_answer(vendor: Vendor) -> None:
    wanted = {"tools": (LOOKUP,), "language": "en-US", "voice": "marin"}
    async with at(vendor, wanted, script=[Say("Seven to nine.")], heard=["When do you open?"]) as (_, owner):
        assert await owner.next(Ready) == Ready("sess_1")
        await owner.voice.say("Good day.")
        done = await owner.next(TurnDone)
        assert (done.status, done.usage.output_audio > 0) == ("completed", True)
        assert [text.text for text in owner.of(VoiceText) if text.final] == ["Good day."]
        assert sum(len(audio.data) for audio in owner.of(Audio)) > 1000
        await owner.hear(A_TURN)
        await owner.next(TurnDone, 1)
        assert [text.text for text in owner.of(UserText) if text.final] == ["When do you open?"]
        assert [text.text for text in owner.of(UserText) if not text.final][-1].strip() == "When do you open?"
        assert [text.text for text in owner.of(VoiceText) if text.final] == ["Good day.", "Seven to nine."]
        assert "".join(text.text for text in owner.of(VoiceText) if not text.final) == "Good day. Seven to nine. "
        assert owner.of((Failed, Warned)) == []


async def test_the_caller_interrupts(vendor: Vendor) -> None:
    long = "This is a long answer that goes on and on, and nobody wants to hear it to its end."
    async with at(vendor, script=[Say("Go on.")], pace=2.0) as (emulator, owner):
        await owner.voice.say(long)
        audio = await owner.next(Audio)
        await owner.hear(tone(300))
        await owner.next(SpeechStarted)
        await owner.voice.truncate(audio.item, 60)
        done = await owner.next(TurnDone)
        assert done.status == "interrupted"
        conversation = await emulator.conversation()
        truncated = await conversation.expect("conversation.item.truncate")
        assert (truncated["item_id"], truncated["audio_end_ms"]) == (audio.item, 60)
        heard = len(owner.of(Audio))
        await owner.hear(silence(700))
        await owner.next(TurnDone, 1)
        assert len(owner.of(Audio)) > heard, "the next answer is heard"
        assert len(owner.of(Interrupted)) <= 1
        assert owner.of((Failed, Warned)) == []


async def test_it_calls_tools_and_uses_what_they_say(vendor: Vendor) -> None:
    script = [Call("lookup", {"dish": "soup"}, more=(Call("lookup", {"dish": "bread"}),)), Say("Six francs.")]
    async with at(vendor, {"tools": (LOOKUP,)}, script=script) as (emulator, owner):
        await owner.hear(A_TURN)
        calls = [await owner.next(ToolCall), await owner.next(ToolCall, 1)]
        assert [dict(call.arguments) for call in calls] == [{"dish": "soup"}, {"dish": "bread"}]
        await owner.voice.tool_result(calls[0].id, '{"price": 6}')
        await owner.voice.tool_result(calls[1].id, '{"price": 2}')
        await owner.next(TurnDone, 1)
        conversation = await emulator.conversation()
        results = [event["item"] for event in conversation.client_events if event["type"] == "conversation.item.create"]
        assert [item["output"] for item in results] == ['{"price": 6}', '{"price": 2}']
        assert [text.text for text in owner.of(VoiceText) if text.final] == ["Six francs."]
        assert len(owner.of(ToolCall)) == 2, "each once"


async def test_it_knows_what_was_said_before(vendor: Vendor) -> None:
    history = (Utterance("caller", "I am Ann."), Utterance("voice", "Hello Ann."))
    async with at(vendor, {"history": history}) as (emulator, owner):
        await owner.next(Ready)
        await owner.voice.say("Go on.")
        await owner.next(TurnDone)
        sent = str((await emulator.conversation()).client_events)
        assert "I am Ann." in sent
        assert "Hello Ann." in sent
        await owner.voice.update(instructions="Be brief.", tools=(LOOKUP,))
        update = await (await emulator.conversation()).expect("session.update", 1)
        assert update["session"]["instructions"].startswith("Be brief.")
        assert ("I am Ann." in update["session"]["instructions"]) == (vendor is VENDORS["grok"])


async def test_a_law_goes_straight_through(vendor: Vendor) -> None:
    async with at(vendor, {"format": ALAW}) as (emulator, owner):
        await owner.voice.say("Good day.")
        await owner.next(TurnDone)
        await owner.hear(b"\xd5" * 160)
        conversation = await emulator.conversation()
        assert await conversation.heard(160) == b"\xd5" * 160
        assert conversation.session["audio"]["output"]["format"] == {"type": "audio/pcma"}


async def test_a_stop_by_us_is_no_complaint(vendor: Vendor) -> None:
    async with at(vendor, pace=2.0) as (emulator, owner):
        await owner.voice.say("This is a long answer that goes on and on for a while, and then some more.")
        await owner.next(Audio)
        await owner.voice.interrupt()
        assert (await owner.next(TurnDone)).status == "interrupted"
        conversation = await emulator.conversation()
        conversation.error(
            "response_cancel_not_active", "Cancellation failed: no active response found", "event_99"
        )  # ours crossed the end of the answer
        await owner.voice.say("Yes?")
        assert (await owner.next(TurnDone, 1)).status == "completed"
        assert owner.of((Failed, Warned)) == []


async def test_a_request_that_crosses_an_answer_is_made_again(vendor: Vendor) -> None:
    async with at(vendor, script=[Say("An answer to what the caller said.")], pace=2.0) as (emulator, owner):
        conversation = await emulator.conversation()
        await owner.next(Ready)
        conversation.respond({})  # the server begins by itself, before ours arrives
        await owner.voice.say("One moment.")
        await owner.next(TurnDone, 1)
        said = [text.text for text in owner.of(VoiceText) if text.final]
        assert said == ["An answer to what the caller said.", "One moment."]


async def test_a_wrong_key(vendor: Vendor) -> None:
    async with Emulator(surface=vendor.surface, api_key="another") as emulator:
        provider = vendor.make({"api_key": KEY, **vendor.settings(emulator)})
        with pytest.raises(VoiceError, match="the API key is wrong or missing") as error:
            await provider.voice(session()).connect()
        assert KEY not in str(error.value)
        await provider.close()


async def test_a_dropped_connection(vendor: Vendor) -> None:
    async with at(vendor, faults=Faults(drop_after_ms=50)) as (_, owner):
        failed = await owner.next(Failed)
        assert (failed.code, failed.recoverable) == ("close_1006", True)


def test_what_is_missing_is_named(vendor: Vendor) -> None:
    with pytest.raises(VoiceError, match=r"needs an API key: set \w+_API_KEY"):
        vendor.make({})


@pytest.mark.parametrize(
    ("make", "settings", "missing"),
    [
        (azure_openai.provider, {"api_key": KEY}, "AZURE_OPENAI_ENDPOINT"),
        (
            azure_openai.provider,
            {"api_key": KEY, "endpoint": "https://a.example"},
            "HOOKFLASH_VOICES_AZURE_OPENAI_MODEL",
        ),
        (azure_voice_live.provider, {"api_key": KEY}, "AZURE_VOICELIVE_ENDPOINT"),
        (azure_voice_live.provider, {"api_key": KEY, "endpoint": "a.example"}, "endpoint must be a wss:// or https://"),
    ],
)
def test_addresses_are_needed(make: Callable[..., object], settings: dict[str, str], missing: str) -> None:
    with pytest.raises(VoiceError, match=missing):
        make(settings)


def test_keys_come_from_the_vendors_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {
        "XAI_API_KEY": "x", "AZURE_OPENAI_API_KEY": "a", "AZURE_OPENAI_ENDPOINT": "https://a.example",
        "AZURE_VOICELIVE_API_KEY": "v", "AZURE_VOICELIVE_ENDPOINT": "https://v.example",
        "HOOKFLASH_VOICES_AZURE_OPENAI_MODEL": "d",
    }  # fmt: skip
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    plain = {
        voice: {
            name: value.get_secret_value() if hasattr(value, "get_secret_value") else value
            for name, value in of.items()
        }
        for voice, of in load_settings().voices.items()
    }
    assert plain["grok"] == {"api_key": "x"}
    assert plain["azure-openai"] == {"api_key": "a", "endpoint": "https://a.example", "model": "d"}
    assert plain["azure-voice-live"] == {"api_key": "v", "endpoint": "https://v.example"}


async def test_grok_counts_what_stands_beside_the_response() -> None:
    async with at(VENDORS["grok"]) as (_, owner):
        await owner.voice.say("Good day.")
        assert (await owner.next(TurnDone)).usage != Usage()


async def test_voice_lives_own_client_completes_a_conversation() -> None:
    """The emulator is no invention of ours: the vendor's client talks with it."""
    from azure.ai.voicelive.aio import connect
    from azure.ai.voicelive.models import RequestSession
    from azure.core.credentials import AzureKeyCredential

    vendor = VENDORS["azure-voice-live"]
    heard, spoken, said = "", bytearray(), ""
    async with (
        asyncio.timeout(10),
        Emulator(surface=vendor.surface, script=[Say("Nine.")], heard=["a pizza"]) as emulator,
    ):
        credential = AzureKeyCredential(KEY)
        async with connect(endpoint=emulator.endpoint, credential=credential, model="gpt-realtime-2.1") as connection:
            await connection.session.update(
                session=RequestSession(
                    input_audio_format="g711_ulaw", output_audio_format="g711_ulaw", input_audio_sampling_rate=8000,
                    input_audio_transcription={"model": "azure-speech"},
                )
            )  # fmt: skip
            audio = tone(300) + silence(700)
            async for event in connection:
                match event.type:
                    case "session.updated":
                        for start in range(0, len(audio), 160):
                            await connection.input_audio_buffer.append(
                                audio=b64encode(audio[start : start + 160]).decode()
                            )
                    case "conversation.item.input_audio_transcription.completed":
                        heard = event.transcript
                    case "response.audio.delta":
                        spoken += event.delta
                    case "response.audio_transcript.done":
                        said = event.transcript
                    case "response.done":
                        break
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []
    assert (heard, said, bytes(spoken)) == ("a pizza", "Nine.", await tone_voice("Nine."))
