"""The recogniser that needs no network: it hears that somebody speaks, and is told what."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from providers.rehearsal import Rehearsal
from providers.voice import ALAW, ULAW, SpeechStarted, SpeechStopped, UserText, Voice, VoiceError
from tests.emulators.openai_realtime import silence, tone
from tests.providers.conftest import owned

Rehearse = Callable[..., Rehearsal]
WORDS = tone(400) + silence(700)


async def test_callers_say_what_the_setting_says_one_after_the_other(rehearse: Rehearse) -> None:
    provider = rehearse(hears='["sales", "Anna, please"]')
    said = []
    for _ in range(3):
        async with owned(cast("Voice", provider.recogniser(format=ULAW))) as owner:
            await owner.hear(silence(500) + WORDS)
            said.append((await owner.next(UserText)).text)
        assert [type(event) for event in owner.events] == [SpeechStarted, SpeechStopped, UserText]
    assert said == ["sales", "Anna, please", "sales"]


async def test_at_the_end_whoever_speaks_has_spoken(rehearse: Rehearse) -> None:
    ears: Any = rehearse(hears="sales").recogniser(format=ULAW)
    async with owned(ears) as owner:
        await owner.hear(WORDS + tone(300))
        await ears.finish()
    await ears.send_audio(WORDS)  # to nobody
    assert [event.text for event in owner.of(UserText)] == ["sales", "sales"]


async def test_silence_says_nothing(rehearse: Rehearse) -> None:
    ears: Any = rehearse(hears="sales").recogniser(format=ALAW)
    async with owned(ears) as owner:
        await owner.hear(b"\xd5" * 8000)
        await ears.finish()
    assert owner.events == []


def test_without_the_setting_it_understands_nothing(rehearse: Rehearse) -> None:
    assert rehearse().recogniser(format=ULAW) is None
    assert not rehearse().capabilities.recognises
    assert rehearse(hears="yes").capabilities.recognises


@pytest.mark.parametrize("hears", ["[1]", "[", '["a", null]'])
def test_a_setting_that_is_no_list_of_texts(rehearse: Rehearse, hears: str) -> None:
    with pytest.raises(VoiceError, match="'hears' must be a text or a JSON list of texts"):
        rehearse(hears=hears)
