from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.speech import SPEAK_WITHIN
from engine.virtual import VirtualLine, VirtualProvider, virtual_time
from engine.virtual.voice import VirtualSpeaker
from providers.voice import AudioFormat, VoiceError
from tests.engine.verbs.phone import dial, flow, library, problems


@virtual_time
async def test_a_text_with_values_is_spoken_to_its_end(tmp_path: Path) -> None:
    over = await dial(
        library(
            tmp_path,
            flow(
                "- say: Hello ${caller.name}, ${vars.count} and ${spell('A7')}.\n- say: {text: Bye.}",
                head="vars: {count: {type: integer, default: 3}}",
            ),
        )
    )
    assert over.heard == ["Hello Ada, 3 and A, 7.", "Bye."]
    assert [(said.role, said.text, said.interrupted) for said in over.record.transcript] == [
        ("voice", "Hello Ada, 3 and A, 7.", False), ("voice", "Bye.", False),
    ]  # fmt: skip
    first, second = over.line.log.find("heard")
    assert second.at - first.at == pytest.approx(second.ms / 1000)


@virtual_time
async def test_a_text_is_spoken_as_often_as_asked(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow("- say: {text: Hello., loop: 3}")))
    assert over.heard == ["Hello."] * 3


@pytest.mark.parametrize(
    ("by", "who", "stops"),
    [
        ("none", "key", False), ("none", "voice", False), ("dtmf", "key", True), ("dtmf", "voice", False),
        ("speech", "key", False), ("speech", "voice", True), ("any", "key", True), ("any", "voice", True),
    ],
)  # fmt: skip
@virtual_time
async def test_what_may_interrupt_it(tmp_path: Path, by: str, who: str, stops: bool) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(1)
        await (line.caller.presses("5") if who == "key" else line.caller.says("Stop", 0.6))

    steps = f"- say: {{text: A text of three seconds at the very least., loop: 2, interruptible: {by}}}\n- stop: {{}}"
    over = await dial(library(tmp_path, flow(steps)), script)
    heard = over.line.log.find("heard", "cut")
    if stops:
        assert over.ways[0] == ("say", "interrupted")
        assert len(heard) == 1
        assert heard[0].what == "cut"
        assert heard[0].at == pytest.approx(1.0 if who == "key" else 1.2, abs=0.15)
        assert over.record.transcript[0].interrupted
    else:
        assert over.ways[0] == ("say", "done")
        assert [entry.what for entry in heard] == ["heard", "heard"]
        assert not over.record.transcript[0].interrupted


@virtual_time
async def test_a_key_that_interrupts_is_there_for_whoever_reads_keys_next(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.5)
        await line.caller.presses("2")

    steps = """
    - say: {text: You may press a key at any time., interruptible: dtmf}
    - menu: {say: "1 for sales, 2 for service."}
      outcomes: {"1": [], "2": [{stop: {}}]}
    """
    over = await dial(library(tmp_path, flow(steps)), script)
    assert over.ways == [("say", "interrupted"), ("menu", "2"), ("stop", "done")]


class Speaker(VirtualSpeaker):
    def __init__(self, asked: list[tuple[str | None, str | None, str]], error: Exception | None = None) -> None:
        self.asked, self.error = asked, error

    async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
        self.asked.append((voice, language, format.encoding))
        if self.error is not None:
            raise self.error
        return await super().speak(text, voice=voice, language=language, format=format)


def speaking(speaker: VirtualSpeaker | None) -> VirtualProvider:
    class Provider(VirtualProvider):
        def speaker(self) -> VirtualSpeaker:
            return speaker  # type: ignore[return-value]

    return Provider()


@virtual_time
async def test_speaker_language_and_law_reach_the_speech_provider(tmp_path: Path) -> None:
    asked: list[tuple[str | None, str | None, str]] = []
    house = library(tmp_path, flow("- say: {text: Grüezi, voice: heidi, language: de-CH}\n- say: Hi"))
    over = await dial(house, provider=speaking(Speaker(asked)), line=VirtualLine(format="alaw"), law="alaw")
    assert asked == [("heidi", "de-CH", "alaw"), (None, None, "alaw")]
    assert over.heard == ["Grüezi", "Hi"]


@pytest.mark.parametrize(
    ("speaker", "said"),
    [
        (Speaker([], VoiceError("flite is gone")), "the prompt cannot be spoken: flite is gone"),
        (None, "cannot speak prompts"),
    ],
)
@virtual_time
async def test_a_prompt_that_cannot_be_spoken_is_an_error_of_the_step(
    tmp_path: Path, speaker: VirtualSpeaker | None, said: str
) -> None:
    over = await dial(library(tmp_path, flow("- say: Hi\n  catch: [{stop: {}}]")), provider=speaking(speaker))
    assert over.ways == [("say", "error"), ("stop", "done")]
    assert said in over.record.steps[0].detail


@virtual_time
async def test_a_synthesiser_that_hangs_does_not_hang_the_call(tmp_path: Path) -> None:
    class Hangs(VirtualSpeaker):
        async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
            await asyncio.Event().wait()
            return b""

    house = library(tmp_path, flow("- say: Hi\n  catch: [{stop: {}}]"))
    over = await dial(house, provider=speaking(Hangs()))
    assert over.ways[0] == ("say", "error")
    assert over.line.log.now == SPEAK_WITHIN


@virtual_time
async def test_a_value_that_is_not_there_is_an_error_of_the_step_and_names_its_place(tmp_path: Path) -> None:
    steps = "- id: a\n  say: Hello.\n  when: 'false'\n- say: ${steps.a.outcome.size() + 1}\n  catch: []"
    over = await dial(library(tmp_path, flow(steps.replace("'false'", "false"))))
    assert over.ways == [("say", "error")]
    assert "0.flow.yaml:6" in over.record.steps[0].detail


def test_what_the_check_says(tmp_path: Path) -> None:
    assert problems(tmp_path, "- say: {text: Hi, interruptible: dmtf}\n- say: {loop: 0, text: Hi}\n- say: {}") == [
        "3:36: error[E203]: 'dmtf' is not one of 'none', 'dtmf', 'speech' or 'any' (did you mean 'dtmf'?)",
        "4:17: error[E203]: 'loop': input should be greater than or equal to 1",
        "5:5: error[E202]: say needs 'text'",
    ]
