"""A cascade on a real line: Google hears and speaks, a text model thinks; question, barge-in, tool and goodbye."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest
from aiohttp import web
from company import Open
from hearing import interruption, longest_silence, seconds_of, seconds_of_tone, singing

from tests.emulators.chat_completions import Answer
from tests.emulators.chat_completions import Emulator as Model
from tests.emulators.google_speech import Emulator, Faults

pytestmark = pytest.mark.asterisk

GREETING, GOODBYE = "What may it be?", "That is ordered. Goodbye."
MENU = ("We have a soup of the day.", "There is a stew with beans as well.", "And then there are all the cakes.")
PITCHES = {
    GREETING: 400.0,
    MENU[0]: 600.0,
    MENU[1]: 700.0,
    MENU[2]: 800.0,
    "That is ordered.": 1200.0,
    "Goodbye.": 1200.0,
}
EXIT = ("call_9", "finish", '{"exit": "ordered"}')

FLOW = f"""
    steps:
      - id: talk
        converse:
          provider: google
          greeting: "{GREETING}"
          prompt: You take orders.
          tools:
            stock:
              description: Whether there is enough of a dish.
              input: {{dish: {{type: string}}}}
              http: {{endpoint: shop, path: "/stock/${{input.dish}}"}}
          exits: {{ordered: {{description: The order is complete.}}}}
        outcomes: {{silence: [], max_duration: [], provider_error: [{{goto: sorry}}]}}
      - hangup: {{result: ordered}}
    sections:
      sorry:
        - say: I am sorry, something is broken. Please call again.
        - hangup: {{result: sorry}}
"""


async def sing(text: str) -> bytes:
    return await singing(PITCHES)(text.strip())


@asynccontextmanager
async def shop() -> AsyncIterator[str]:
    async def stock(request: web.Request) -> web.Response:
        return web.json_response({"dish": request.match_info["dish"], "left": 12})

    app = web.Application()
    app.router.add_get("/stock/{dish}", stock)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_question_barge_in_a_tool_and_a_goodbye_heard_to_its_end(open_company: Open) -> None:
    answers = [
        Answer(" ".join(MENU)),
        Answer(calls=(("call_0", "stock", '{"dish": "soup"}'),)),
        Answer(GOODBYE, calls=(EXIT,)),
    ]
    async with (
        Model(answers) as model,
        Emulator(["What is there?", "A soup, please."], voice=sing) as google,
        shop() as url,
    ):
        voices = {"google": {**google.settings, "text_url": model.url, "text_model": "m"}}
        resources = f"endpoints: {{shop: {{base_url: '{url}'}}}}"
        async with open_company(FLOW, files={"resources.yaml": resources}, voices=voices) as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("What is there?")
            await caller.hears_something()
            await caller.says("I would like the soup.")
            record = await house.ended(caller)
            said, heard = await caller.recording()

        assert (record.outcome, record.hangup_by, record.result) == ("completed", "flow", "ordered")
        assert [(use.name, use.outcome) for use in record.tools] == [("stock", "ok")]
        spoken = [(entry.role, entry.text) for entry in record.transcript]
        assert [line for line in spoken if line[1] not in " ".join(MENU)] == [
            ("voice", GREETING), ("caller", "What is there?"), ("caller", "A soup, please."), ("voice", GOODBYE),
        ]  # fmt: skip
        told = [message["content"] for message in model.requests[-1]["messages"] if message["role"] == "assistant"]
        assert told[0] == GREETING
        assert told[1].endswith(" …"), "the model remembers that it was interrupted"
        assert " ".join(MENU).startswith(told[1].removesuffix(" …"))
        assert seconds_of_tone(heard, 800.0) == 0.0, "the end of the menu was not heard"
        assert seconds_of_tone(heard, 1200.0) == pytest.approx(seconds_of(GOODBYE), abs=0.35)
        _, _, noticed, stopped = interruption(
            said.part(said.bursts()[0][1], said.seconds), heard.part(said.bursts()[0][1], heard.seconds)
        )
        assert stopped - noticed < 0.5
        assert google.problems == model.oracle.problems == []
        await google.until(lambda: google.open == 0)
        [heard_by_google] = google.audio
        assert len(heard_by_google) / 8000 == pytest.approx(said.seconds, abs=3)
        used = {entry.model: entry for entry in record.tokens}
        assert used["telephony"].seconds_heard == pytest.approx(len(heard_by_google) / 8000)
        assert used["Chirp3-HD"].characters == len(GREETING) + len(" ".join(MENU)) + len(GOODBYE)
        assert used["m"].output_text > 0
        assert used["telephony"].cost > 0
        assert used["Chirp3-HD"].cost > 0


@pytest.mark.parametrize(
    "faults",
    [
        Faults(refuses=grpc.StatusCode.RESOURCE_EXHAUSTED),
        Faults(aborts_after=(300,) * 9),
        Faults(speech_refuses=grpc.StatusCode.UNAUTHENTICATED),
        Faults(speech_aborts=(0, 0, 0, 0)),
    ],
    ids=["no quota for hearing", "hearing breaks", "may not speak", "speech breaks"],
)
async def test_what_fails_leads_to_the_flows_way_out(open_company: Open, faults: Faults) -> None:
    async with Model([Answer(MENU[0])]) as model, Emulator(faults=faults, voice=sing) as google:
        voices = {"google": {**google.settings, "text_url": model.url, "text_model": "m"}}
        async with open_company(
            FLOW, files={"resources.yaml": "endpoints: {shop: {base_url: 'http://127.0.0.1:1'}}"}, voices=voices
        ) as house:
            caller = await house.call()
            record = await house.ended(caller)
            _, heard = await caller.recording()
    assert record.result == "sorry"
    assert longest_silence(heard) < 3.0


async def test_google_asks_and_understands_in_single_steps(open_company: Open) -> None:
    question = "Which department, please?"
    flow = f"""
    steps:
      - id: who
        gather: {{say: "{question}", input: speech, hints: [sales], language: en}}
        outcomes: {{no_input: [], no_match: [], provider_error: []}}
      - hangup: {{result: "${{steps.who.text}}, ${{steps.who.confidence}}"}}
    """
    async with Emulator(["The sales."], voice=sing) as google:
        voices = {"google": google.settings}
        async with open_company(flow, voices=voices, listening="google", speech="google") as house:
            caller = await house.call()
            await caller.hears_something()
            await caller.hears_nothing()
            await caller.says("The sales department.")
            record = await house.ended(caller)
            _, heard = await caller.recording()
        assert record.result.startswith("The sales., 0.9")
        assert google.said == [[question]]
        assert seconds_of_tone(heard, 300.0) == pytest.approx(seconds_of(question), abs=0.35)
        phrases = google.openings[0].streaming_config.config.adaptation.phrase_sets[0].inline_phrase_set.phrases
        assert [phrase.value for phrase in phrases] == ["sales"]
        assert google.problems == []


async def test_when_google_is_gone_in_mid_sentence_the_next_voice_goes_on(open_company: Open) -> None:
    flow = """
    steps:
      - converse:
          provider: [google, rehearsal]
          exits: {person: {description: The caller wants a person.}}
          options:
            rehearsal: {script: [{hear: any}, {say: I am another voice.}, {finish: {exit: person}}]}
        outcomes: {silence: [], max_duration: [], provider_error: []}
      - hangup: {result: person}
    """
    async with Model([Answer(" ".join(MENU))]) as model, Emulator(["What is there?"], voice=sing, pace=1.2) as google:
        voices = {"google": {**google.settings, "text_url": model.url, "text_model": "m"}}
        async with open_company(flow, voices=voices) as house:
            caller = await house.call()
            await caller.says("What is there?")
            await caller.hears_something()
            await google.drop()
            record = await house.ended(caller)
            _, heard = await caller.recording()
    assert record.result == "person"
    [took_over] = [entry.text for entry in record.transcript if entry.role == "system"]
    assert took_over.startswith("rehearsal took over from google")
    assert record.transcript[-1].text == "I am another voice."
    assert longest_silence(heard, since=heard.bursts()[0][0]) < 2.0
