"""Azure Speech on a real line: greeted, interrupted, served by a tool and handed to a person; and a prompt alone."""

from __future__ import annotations

import asyncio

import pytest
from company import TEAMS, Open
from hearing import interruption, seconds_of, seconds_of_tone, singing

from tests.emulators.azure_speech import AzureSpeech, Faults
from tests.emulators.chat_completions import Answer, Emulator

pytestmark = pytest.mark.asterisk

GREETING = "Welcome to the company, you may interrupt me whenever you like, and I will listen to you at once."
NOTED, GOODBYE = "That is noted.", "Somebody will help you now."
PITCHES = {GREETING: 440.0, NOTED: 600.0, GOODBYE: 800.0}
CALLERS_TONE, PERSONS_TONE = 700.0, 1000.0  # Hz

FLOW = f"""
    vars: {{size: {{type: string, default: none}}}}
    steps:
      - id: talk
        converse:
          provider: azure-speech
          greeting: "{GREETING}"
          prompt: You take orders.
          tools:
            size:
              description: Keeps the size.
              input: {{size: {{type: string, enum: [S, M, L]}}}}
              set: {{size: "${{input.size}}"}}
          exits: {{person: {{description: The caller wants a person.}}}}
        outcomes: {{silence: [], max_duration: [], provider_error: []}}
      - transfer: {{attempts: [{{targets: ["teams:{TEAMS}"], timeout: 10s}}]}}
        outcomes: {{failed: []}}
      - hangup: {{result: "${{vars.size}}"}}
"""


async def test_greeted_interrupted_served_and_handed_over(open_company: Open) -> None:
    answers = [
        Answer(calls=(("call_1", "size", '{"size": "L"}'),)),
        Answer(NOTED),
        Answer(GOODBYE, calls=(("call_2", "finish", '{"exit": "person"}'),)),
    ]
    heard_as = ["A large one, please.", "Now a person."]
    async with AzureSpeech(heard=heard_as, voice=singing(PITCHES)) as service, Emulator(answers) as texts:
        voices = {
            "azure-speech": {
                "api_key": "test-key", "endpoint": service.url, "text_url": texts.url, "text_model": "house",
            }
        }  # fmt: skip
        async with open_company(FLOW, voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await asyncio.sleep(1.5)  # listens for a while
            await caller.says("A large one, please.")
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("Now a person.")
            await house.connected(caller)
            await caller.sounds(CALLERS_TONE, 1.5)
            await caller.hangs_up()
            record = await house.ended(caller)
            said, heard = await caller.recording()
            theirs = await house.heard_by(TEAMS)
        assert (service.problems, texts.oracle.problems) == ([], [])

    assert (record.outcome, record.hangup_by, record.error) == ("handed_off", "caller", "")
    assert [(use.name, use.outcome) for use in record.tools] == [("size", "ok")]
    told = [(entry.role, entry.text, entry.interrupted) for entry in record.transcript]
    assert told[0][:1] + told[0][2:] == ("voice", True)
    assert told[1:] == [
        ("caller", "A large one, please.", False), ("voice", NOTED, False), ("caller", "Now a person.", False),
        ("voice", GOODBYE, False),
    ]  # fmt: skip
    _, spoke, noticed, stopped = interruption(said, heard)
    assert spoke > 1.0
    assert stopped - noticed < 0.2, "the voice falls silent when the caller speaks"
    for text in (NOTED, GOODBYE):
        assert seconds_of_tone(heard, PITCHES[text]) == pytest.approx(seconds_of(text), abs=0.25), text
    remembered = texts.requests[0]["messages"][1]["content"]
    assert remembered.endswith("…"), "the model knows that it was interrupted"
    assert GREETING.startswith(remembered.removesuffix(" …"))
    last = said.bursts()[-1][0]
    assert heard.part(last + 0.2, last + 1.3).tone_share(PERSONS_TONE) > 0.9, "the caller must hear the person"
    there = theirs.bursts()[-1][0]
    assert theirs.part(there + 0.2, there + 1.3).tone_share(CALLERS_TONE) > 0.9, "the person must hear the caller"


async def test_a_prompt_in_its_voice(open_company: Open) -> None:
    text = "Good day to you."
    async with AzureSpeech(voice=singing({text: 500.0})) as service:
        voices = {"azure-speech": {"api_key": "test-key", "endpoint": service.url}}
        flow = f"""
            steps:
              - say: {{text: "{text}", voice: en-GB-RyanNeural}}
              - hangup: {{}}
        """
        async with open_company(flow, voices=voices, speech="azure-speech") as house:
            caller = await house.call()
            record = await house.ended(caller)
            _, heard = await caller.recording()
        [asked] = (await service.synthesis()).asked
    assert record.error == ""
    assert (asked.text, asked.voice) == (text, "en-GB-RyanNeural")
    assert seconds_of_tone(heard, 500.0) == pytest.approx(seconds_of(text), abs=0.25)


ASKS = """
    steps:
      - id: who
        gather: {say: Which department?, input: speech, language: en-GB, hints: [sales, support], retries: 0}
        outcomes:
          no_input: [{hangup: {result: silent}}]
          no_match: [{hangup: {result: unclear}}]
          provider_error: [{hangup: {result: deaf}}]
      - hangup: {result: "${steps.who.text} ${steps.who.confidence}"}
"""


async def test_an_answer_by_speech(open_company: Open) -> None:
    async with AzureSpeech(heard=["The support, please."]) as service:
        voices = {"azure-speech": {"api_key": "test-key", "endpoint": service.url}}
        async with open_company(ASKS, voices=voices, listening="azure-speech", speech="azure-speech") as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("The support, please.")
            record = await house.ended(caller)
        [context] = (await service.recognition()).contexts
    assert record.result == "The support, please. 0.9"
    assert context["phraseDetection"]["language"] == "en-GB"
    assert "support" in str(context["dgi"])
    assert service.problems == []


async def test_a_recogniser_that_is_refused_is_an_outcome(open_company: Open) -> None:
    async with AzureSpeech(faults=Faults(http_status=401)) as service:
        voices = {"azure-speech": {"api_key": "test-key", "endpoint": service.url}}
        async with open_company(ASKS, voices=voices, listening="azure-speech") as house:
            caller = await house.call()
            record = await house.ended(caller)
    assert record.result == "deaf"
    assert "check AZURE_SPEECH_KEY" in record.steps[0].detail
    assert "test-key" not in str(record)
