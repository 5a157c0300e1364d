"""What a second voice knows of the talk with the first: everything, a summary, nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.virtual import Calls, Says, VirtualLine, VirtualProvider, virtual_time
from providers.voice import VoiceError
from tests.engine.verbs.phone import Over, dial, flow, library
from tests.engine.verbs.talking import asks
from tests.engine.writer import Writer, texts

TWO = """
- converse: {greeting: Hello., exits: {a: {}}}
  catch: []
- converse: {context: CONTEXT, prompt: Help Ada., max_duration: 1s, exits: {b: {}}}
  catch: []
"""
TALK = [("voice", "Hello."), ("caller", "What do you have?")]
TOLD = 'Ada asks for the "menu".'


async def second(folder: Path, writer: Writer, context: str = "summary") -> Over:
    """Two talks; the first is over as soon as the caller has asked something."""
    house = library(folder, flow(TWO.replace("CONTEXT", context)))
    return await dial(house, asks, [Calls("finish", {"exit": "a"})], texts=texts(writer))


def history(over: Over, voice: int = -1) -> list[tuple[str, str]]:
    return [(said.role, said.text) for said in over.provider.voices[voice].session.history]


@virtual_time
async def test_the_summary_stands_in_place_of_the_talk(tmp_path: Path) -> None:
    writer = Writer(f" {TOLD}\n")
    over = await second(tmp_path, writer)
    told = over.voice.session.instructions
    assert told.startswith("Help Ada.\n\nWhat happened on this call before")
    assert told.endswith(json.dumps(TOLD))
    assert history(over) == []
    system, talk = writer.asked[0]
    assert system.role == "system"
    assert json.loads(talk.text) == [{role: text} for role, text in TALK]
    assert writer.options[0]["most"] == 300
    assert over.record.tokens[-1].provider == "writer/text"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (VoiceError("HTTP 503: try again later"), "HTTP 503: try again later"),
        ((6.0, TOLD), "the text model of 'writer' took over 5 s"),
        (" \n", "the text model said nothing"),
    ],
)
@virtual_time
async def test_without_a_summary_it_knows_everything_and_the_record_says_so(
    tmp_path: Path, answer: Any, why: str
) -> None:
    over = await second(tmp_path, Writer(answer))
    assert history(over) == TALK
    assert over.voice.session.instructions == "Help Ada."
    assert over.record.steps[1].data == {"warning": f"no summary, so the voice was told everything: {why}"}
    assert over.ways == [("converse", "a"), ("converse", "max_duration")]


@pytest.mark.parametrize(("context", "known"), [("continue", TALK), ("reset", [])])
@virtual_time
async def test_the_other_contexts_ask_nobody(tmp_path: Path, context: str, known: list[Any]) -> None:
    writer = Writer()
    over = await second(tmp_path, writer, context)
    assert history(over) == known
    assert over.voice.session.instructions == "Help Ada."
    assert writer.asked == []


@virtual_time
async def test_the_first_talk_has_nothing_before_it(tmp_path: Path) -> None:
    writer = Writer()
    step = "- converse: {context: summary, max_duration: 1s, exits: {b: {}}}\n  catch: []"
    over = await dial(library(tmp_path, flow(step)), texts=texts(writer))
    assert writer.asked == []
    assert over.ways == [("converse", "max_duration")]


@pytest.mark.parametrize("context", ["summary", "reset"])
@virtual_time
async def test_a_voice_that_comes_back_knows_its_own_talk(tmp_path: Path, context: str) -> None:
    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.hears("Welcome.")
        await line.caller.waits(1)
        await line.caller.says("A person!", 0.5)
        await line.caller.hears("Nobody is there.")
        await line.caller.waits(1)
        await line.caller.says("Then not.", 0.5)

    steps = f"""
    - converse: {{greeting: Hello., exits: {{a: {{}}}}}}
      catch: []
    - converse:
        context: {context}
        greeting: Welcome.
        exits: {{b: {{}}}}
        tools:
          person:
            description: A person.
            transfer: {{attempts: [{{targets: ["pjsip:desk"]}}], unreached: Nobody is there.}}
      catch: []
    """
    replies = [[Calls("finish", {"exit": "a"})], [Calls("person")], [Says("Good."), Calls("finish", {"exit": "b"})]]
    house = library(tmp_path, flow(steps))
    writer = Writer(TOLD)
    over = await dial(
        house, script, provider=VirtualProvider(replies), texts=texts(writer), targets={"pjsip:desk": "busy"}
    )
    assert over.ways == [("converse", "a"), ("converse", "b")]
    assert history(over, 1) == []
    assert history(over, 2) == [("voice", "Welcome."), ("caller", "A person!")]
    assert len(writer.asked) == (context == "summary")


@virtual_time
async def test_a_caller_who_waits_long_for_the_summary_hears_music(tmp_path: Path) -> None:
    over = await second(tmp_path, Writer((4.0, TOLD)))
    [music] = [entry for entry in over.line.log.find("cut") if entry.ms > 1000]
    assert music.ms == pytest.approx(2300, abs=120)
    assert history(over) == []
