"""Real calls with GPT-Live: greeting, a caller who speaks over it, a question, work behind the voice, a person.

The emulator speaks at the pace at which it is heard, as the service does.
"""

from __future__ import annotations

import pytest
from company import Open
from hearing import interruption, longest_silence, seconds_of, seconds_of_tone, singing

from tests.calls.test_calls_openai_tools import shop
from tests.emulators.chat_completions.server import Answer
from tests.emulators.gpt_live import LiveEmulator
from tests.emulators.openai_realtime import Call, Empty, Emulator, Faults, Say

pytestmark = pytest.mark.asterisk

GREETING = "Good morning, this is the kitchen of Bella, and I can tell you all about today's dishes."
MOMENT, PRICE, GOODBYE = "Let me see that.", "The soup is six francs, and very good.", "I connect you. Goodbye."
PITCHES = {GREETING: 400.0, MOMENT: 600.0, PRICE: 800.0, GOODBYE: 1200.0}

FLOW = f"""
    steps:
      - id: talk
        converse:
          provider: gpt-live
          greeting: "{GREETING}"
          prompt: You are the kitchen of Bella.
          silence: {{after: 6s, reprompts: 0}}
          tools:
            stock:
              description: Whether there is enough of a dish.
              input: {{dish: {{type: string}}}}
              http: {{endpoint: shop, path: "/stock/${{input.dish}}"}}
          exits:
            person: {{description: The caller wants a person.}}
        outcomes:
          person: [{{transfer: {{attempts: [{{targets: ["teams:+12125561000"]}}]}}}}]
          silence: []
          max_duration: []
          provider_error: []
      - hangup: {{result: "${{steps.talk.outcome}}"}}
"""


async def test_from_the_greeting_to_a_person(open_company: Open) -> None:
    emulator = LiveEmulator(
        script=[Call("stock", say=MOMENT), Call("finish")],
        heard=["What is the soup?", "A person, please."],
        work=[
            Answer(calls=(("0", "stock", '{"dish": "soup"}'),)),
            Answer(PRICE),
            Answer(GOODBYE, calls=(("0", "finish", '{"exit": "person"}'),)),
        ],
        voice=singing(PITCHES), pace=1.0,
    )  # fmt: skip
    async with emulator, shop(2.5) as (url, asked):
        resources = f"endpoints: {{shop: {{base_url: '{url}'}}}}"
        voices = {"gpt-live": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(FLOW, files={"resources.yaml": resources}, voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.says("What is the soup?")  # over the greeting
            await caller.hears_nothing()
            for _ in (MOMENT, PRICE):
                await caller.hears_something()
                await caller.hears_nothing()
            await caller.says("A person, please.")
            await house.connected(caller)
            await caller.sounds(600.0, 1.0)
            await caller.hangs_up()
            record = await house.ended(caller)
            said, heard = await caller.recording()
        assert emulator.oracle is not None
        assert emulator.oracle.problems == []
        assert (await emulator.live()).stopped == 1, "the model gave way by itself"
    assert asked == ["/stock/soup"]
    assert [(use.name, use.outcome) for use in record.tools] == [("stock", "ok")]
    spoken = [entry.text for entry in record.transcript if entry.role == "voice"]
    assert spoken[1:] == [MOMENT, PRICE, GOODBYE]
    assert GREETING.startswith(spoken[0])
    assert record.transcript[0].interrupted
    assert record.outcome == "handed_off"
    began, spoke, noticed, stopped = interruption(said, heard)
    assert stopped - noticed < 0.8, "100 ms of the stream, 80 ms in hand, and a busy machine"
    assert began < spoke
    for words in (MOMENT, PRICE, GOODBYE):
        assert seconds_of_tone(heard, PITCHES[words]) > seconds_of(words) - 0.35, f"heard to its end: {words}"
    by = {tokens.model: tokens for tokens in record.tokens}
    worker, voice = by["gpt-5.4-mini"], by["gpt-live-1"]
    assert (worker.input_text, worker.output_text) == (60, 21), "three answers of the text model"
    assert 8 < voice.seconds_session < heard.seconds + 1
    assert float(voice.cost) == pytest.approx(voice.seconds_session / 60 * 0.05, abs=0.001)
    assert record.cost > voice.cost > 0
    assert not any(tokens.unpriced for tokens in record.tokens)


async def test_another_voice_goes_on_when_it_breaks_off(open_company: Open) -> None:
    flow = FLOW.replace("provider: gpt-live", "provider: [gpt-live, openai]").replace("6s", "1500ms")
    live = LiveEmulator(voice=singing(PITCHES), pace=1.0, faults=Faults(drop_after_ms=1500))
    async with live, Emulator(script=[Say(PRICE)], voice=singing(PITCHES)) as other:
        voices = {
            "gpt-live": {"api_key": "test-key", "base_url": live.url},
            "openai": {"api_key": "test-key", "base_url": other.url},
        }
        files = {"resources.yaml": "endpoints: {shop: {base_url: 'http://127.0.0.1:9'}}"}
        async with open_company(flow, files=files, voices=voices) as house:
            caller = await house.call()
            record = await house.ended(caller)
            _, heard = await caller.recording()
    assert record.result == "silence"
    assert any("openai took over from gpt-live" in entry.text for entry in record.transcript)
    assert seconds_of_tone(heard, PITCHES[PRICE]) > seconds_of(PRICE) - 0.35
    assert longest_silence(heard, 0.5, heard.bursts()[-1][1]) < 2.0


FAULTY = """
    handlers: [{event: provider_down, goto: sorry}]
    steps:
      - id: talk
        converse:
          provider: gpt-live
          greeting: Hello, what can I do for you today?
          connect_within: 1s
          answer_within: 1500ms
          silence: {after: 1500ms, reprompts: 0}
          exits: {bye: {description: The caller says goodbye.}}
        outcomes: {silence: [{goto: sorry}], max_duration: []}
      - hangup: {result: fine}
    sections:
      sorry:
        - say: I am sorry, something is broken. Please call again.
        - hangup: {result: sorry}
"""


@pytest.mark.parametrize(
    ("faults", "speaks", "error"),
    [
        (Faults(http_status=401), False, "key"),
        (Faults(no_session=True), False, "no session within 1 s"),
        (Faults(refuse_session=("unknown_parameter", "Unknown parameter.")), False, "Unknown parameter"),
        (Faults(stall=True), False, "no audio for 1.5 s"),
        (Faults(stop_reading=True), False, "no audio for 1.5 s"),
        (Faults(drop_after_ms=600), False, "provider_error"),
        (Faults(close_after_ms=600, close_code=1011), False, "provider_error"),
        (Faults(error=("insufficient_quota", "You exceeded your quota.")), False, "quota"),
        (Faults(), True, ""),
    ],
    ids=["401", "silent", "refuses", "never speaks", "stops reading", "cut", "closed", "quota", "keeps silent"],
)
async def test_whatever_happens_nobody_sits_in_silence(
    open_company: Open, faults: Faults, speaks: bool, error: str
) -> None:
    async with LiveEmulator(faults=faults, script=[Empty()], voice=singing({}), pace=1.0) as emulator:
        voices = {"gpt-live": {"api_key": "test-key", "base_url": emulator.url}}
        async with open_company(FAULTY, voices=voices) as house:
            caller = await house.call()
            if speaks:
                await caller.hears_something()
                await caller.hears_nothing()
                await caller.says("When do you open?")
            record = await house.ended(caller)
            said, heard = await caller.recording()
        assert faults.stop_reading or emulator.open_sessions == 0, "who does not read may see no end"
    assert record.result == "sorry"
    assert error in record.error
    spoke = [end for _, end in said.bursts()]
    # Its detector waits 0.6 s for the end of speech, and a pause of 0.8 s ends the caller's turn.
    assert longest_silence(heard, spoke[-1] if spoke else 0.0) < 1.5 + 1.0 + (1.4 if speaks else 0.0)
