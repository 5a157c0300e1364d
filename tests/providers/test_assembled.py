"""A voice of other providers' parts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from engine.accounts import using
from engine.voices import Voices
from providers.chat import provider as chat_provider
from providers.rehearsal import Rehearsal
from providers.voice import ULAW, Audio, Provider, Session, TurnDone, Used, VoiceError, VoiceText
from tests.emulators.chat_completions import Answer
from tests.emulators.chat_completions import Emulator as Model
from tests.emulators.google_speech import Emulator as Ears
from tests.emulators.openai_realtime import silence, tone
from tests.providers.conftest import owned

SETTINGS = {"listening": "google", "text": "chat", "speech": "rehearsal"}


@asynccontextmanager
async def assembled(ears: Ears, model: Model, speech: Provider) -> AsyncIterator[Voices]:
    voices = Voices({
        "cascade": SETTINGS,
        "google": ears.settings,
        "chat": {"base_url": model.url, "model": "small"},
    })  # fmt: skip
    voices.add("rehearsal", speech)
    try:
        yield voices
    finally:
        await voices.close()


async def test_google_hears_a_server_in_the_house_thinks_and_flite_speaks(rehearse: Callable[..., Rehearsal]) -> None:
    async with (
        Ears(["Are you open?"]) as ears,
        Model([Answer("Until eight. Come in.")]) as model,
        assembled(ears, model, rehearse()) as voices,
    ):
        async with owned(voices.get("cascade").voice(Session(options={"hints": ["Bella's"]}))) as owner:
            await owner.hear(tone(500) + silence(700))
            done = await owner.next(TurnDone)
            assert [event.text for event in owner.of(VoiceText)] == [
                "Until eight. ", "Come in.", "Until eight. Come in.",
            ]  # fmt: skip
            assert sum(len(event.data) for event in owner.of(Audio)) == 2 * 4000
            assert [(event.usage.provider, event.usage.characters) for event in owner.of(Used)] == [
                ("google/listening", 0), ("rehearsal/speech", 21),
            ]  # fmt: skip
            assert done.usage.provider == "chat/text"
        assert model.requests[0]["model"] == "small"
        assert ears.openings[0].streaming_config.config.adaptation.phrase_sets


async def test_it_gives_its_parts_for_other_steps_too(rehearse: Callable[..., Rehearsal]) -> None:
    async with Ears() as ears, Model() as model, assembled(ears, model, rehearse()) as voices:
        cascade = voices.get("cascade")
        assert cascade.recogniser(format=ULAW) is not None
        assert cascade.text_model() is voices.get("chat").text_model()
        speaker = cascade.speaker()
        assert speaker is not None
        assert len(await speaker.speak("Hello.", voice=None, language=None, format=ULAW)) == 4000


@pytest.mark.parametrize("part", SETTINGS)
@pytest.mark.parametrize("name", ["", "cascade"])
def test_every_part_must_be_named(part: str, name: str) -> None:
    with pytest.raises(VoiceError, match=f"set HOOKFLASH_VOICES_CASCADE_{part.upper()} to one that"):
        Voices({"cascade": {**SETTINGS, part: name}}).get("cascade")


@pytest.mark.parametrize(("part", "words"), [("listening", "writes speech down"), ("speech", "speaks to the letter")])
async def test_a_provider_must_have_what_it_is_named_for(
    part: str, words: str, rehearse: Callable[..., Rehearsal]
) -> None:
    voices = Voices({"cascade": {**SETTINGS, part: "chat"}, "google": {"api_key": "k", "project": "p"}})
    voices.add("rehearsal", rehearse())
    voices.add("chat", chat_provider({"api_key": "k"}))
    with pytest.raises(VoiceError, match=f"the setting {part} of cascade names 'chat'; .* {words}"):
        voices.get("cascade")
    await voices.close()


async def test_an_account_with_keys_of_its_own_has_a_cascade_of_its_own(rehearse: Callable[..., Rehearsal]) -> None:
    google = {"api_key": "house", "project": "p"}
    voices = Voices(
        {"cascade": SETTINGS, "google": google, "chat": {"base_url": "http://127.0.0.1:1/v1", "model": "m"}},
        {"acme": {"google": {"api_key": "acme"}}, "bella": {}},
    )
    voices.add("rehearsal", rehearse())
    with using("acme"):
        acme = voices.get("cascade")
    house = voices.get("cascade")
    assert acme is not house
    assert acme._listening._account.metadata == (("x-goog-api-key", "acme"),)  # type: ignore[attr-defined]
    assert house._listening._account.metadata == (("x-goog-api-key", "house"),)  # type: ignore[attr-defined]
    with using("bella"), pytest.raises(VoiceError, match="account 'bella'"):
        voices.get("cascade")
    await voices.close()
