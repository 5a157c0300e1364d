"""Tests of flows by audio: the examples and planted faults, on two real Asterisks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from asterisk.instance import Instance
from asterisk.media.steady import SteadyLeg
from engine.scenario import Scenario, ScenarioReader, run_scenario
from engine.scenario.audio_house import AudioHouse, AudioResult
from engine.verb import installed
from flows.language import Language
from providers.flite import Flite
from providers.voice import AudioFormat

pytestmark = pytest.mark.asterisk

EXAMPLES = Path(__file__).parent.parent.parent / "flows" / "examples"
Open = Callable[..., AbstractAsyncContextManager[AudioHouse]]


@pytest.fixture
def open_house(pbx: Instance, world: Instance, tmp_path: Path) -> Open:
    """``async with open_house(speaker) as house``; afterwards nothing is left on either Asterisk."""

    @asynccontextmanager
    async def opened(speaker: object = None) -> AsyncIterator[AudioHouse]:
        async with AudioHouse.between(pbx, world, tmp_path, speaker) as house:  # type: ignore[arg-type]
            yield house
            await pbx.idle()
            await world.idle()

    return opened


def one(path: Path, name: str, flows: Path | None = None) -> Scenario:
    file = ScenarioReader(Language(installed()), flows).read(path)
    assert [str(problem) for problem in file.problems] == []
    return next(scenario for scenario in file.scenarios if scenario.name.startswith(name))


def written(folder: Path, flow: str, test: str) -> Scenario:
    (folder / "it.flow.yaml").write_text("flow: it\n" + flow)
    (folder / "it.test.yaml").write_text("test: it\nflow: it\n" + test)
    return one(folder / "it.test.yaml", "it")


async def play(house: AudioHouse, scenario: Scenario) -> AudioResult:
    rehearsed = await asyncio.to_thread(run_scenario, scenario)
    assert not rehearsed.failures
    return await house.play(scenario, rehearsed.seconds)


async def test_an_order_by_audio(open_house: Open) -> None:
    async with open_house() as house:
        result = await play(house, one(EXAMPLES / "restaurant" / "orders.test.yaml", "an order is taken"))
    assert not result.failures
    assert result.hearing is not None
    assert result.hearing.said == 3
    assert 0.3 < result.hearing.longest_silence < 4
    assert result.seconds > 10, "time is real"


async def test_card_number_and_pin_by_real_keys(open_house: Open) -> None:
    async with open_house() as house:
        result = await play(house, one(EXAMPLES / "bank" / "cards.test.yaml", "a customer hears the balance"))
    assert not result.failures
    assert any("core /verify: 200" in row.text for row in result.rows)


async def test_a_mute_voice_fails_though_the_flow_does_all_it_should(open_house: Open, pbx: Instance) -> None:
    """The same test that passes with a voice: what is checked is what the caller hears, not what was sent."""

    class Mute(Flite):
        async def speak(self, text: str, *, voice: str | None, language: str | None, format: AudioFormat) -> bytes:
            return b"\xff" * len(await super().speak(text, voice=voice, language=language, format=format))

    scenario = one(EXAMPLES / "restaurant" / "orders.test.yaml", "on Thanksgiving")
    async with open_house() as house:
        assert not (await play(house, scenario)).failures
    async with open_house(Mute(pbx.installation.flite())) as house:
        result = await play(house, scenario)
    assert [failure.expected.split('"')[0] for failure in result.failures] == ["the caller hears "]
    assert result.hearing is not None
    assert len(result.hearing.mute) == result.hearing.said == 1


LADDER = """
test: it
flow: clinic/appointments
given: {now: "2026-01-05T09:30:00-05:00"}
mocks:
  text: [{answer: Somebody has chest pain.}]
  http: [{match: {endpoint: sms}, status: 202}]
  targets:
    "pjsip:nurse-1": {answer: 1s, keys: "1", keys_after: 20s}
    "pjsip:nurse-2": {answer: 3s, keys: "1", keys_after: 4s, hangs_up_after: 8s}
    nurse-mobile: busy
script:
  - press: "1"
  - expect: {http: {endpoint: sms, json: {to: "+14155550121"}}}
  - expect: {transfer: {target: "pjsip:nurse-2", status: connected}}
  - expect: {step: ladder, outcome: connected, elapsed: {min: 6s, max: 15s}}
  - expect: {hangup: {outcome: handed_off}}
"""


async def test_a_ladder_is_won_by_who_presses_the_key(open_house: Open, tmp_path: Path) -> None:
    """Two real telephones answer and are asked; the second to answer is the first to accept."""
    path = tmp_path / "ladder.test.yaml"
    path.write_text(LADDER)
    async with open_house() as house:
        result = await play(house, one(path, "it", EXAMPLES / "clinic"))
    assert not result.failures
    told = [row.text for row in result.rows]
    assert "pjsip:nurse-1 answered" in told
    assert any(text.startswith("pjsip:nurse-1 hears") for text in told), "was asked"


SILENT = """
steps:
  - answer: {}
  - say: One moment.
  - http: {endpoint: slow, path: /}
    retry: {max: 1, delay: 9s}
    outcomes: {http_error: []}
  - say: Thank you for waiting.
"""


async def test_a_caller_who_is_left_in_silence_fails_the_test(open_house: Open, tmp_path: Path) -> None:
    (tmp_path / "resources.yaml").write_text("endpoints: {slow: {base_url: 'https://slow.example', timeout: 12s}}")
    mocks = "mocks: {http: [{status: 503}, {json: {}}]}\nscript: [{expect: {says: Thank you}}]\n"
    async with open_house() as house:
        result = await play(house, written(tmp_path, SILENT, mocks))
    assert [failure.expected for failure in result.failures] == ["a caller who waits hears something within 8 s"]
    assert result.hearing is not None
    assert 9.0 <= result.hearing.longest_silence < 10.5


LONG = "We are open from eight to six, and on Saturdays from nine to one, but not on Sundays and not on holidays."
BARGE_IN = """
steps:
  - answer: {}
  - say: {text: "%s", interruptible: %s}
  - say: What can I do for you?
"""
OVER_IT = """
script:
  - expect: {step: say}
  - silence: 2s
  - says: Excuse me, I would like to book a table for two people this evening.
  - expect: {says: What can I do}
"""


async def test_who_speaks_over_a_prompt_silences_it(open_house: Open, tmp_path: Path) -> None:
    async with open_house() as house:
        result = await play(house, written(tmp_path, BARGE_IN % (LONG, "speech"), OVER_IT))
    assert not result.failures
    assert result.hearing is not None
    assert 0.05 < result.hearing.longest_overlap < 1.0


async def test_a_voice_that_is_not_silenced_fails_though_the_engine_meant_to(
    open_house: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asterisk keeps playing what was taken back; the next prompt is heard behind it."""

    async def deaf(_: SteadyLeg) -> int:
        return 0

    monkeypatch.setattr(SteadyLeg, "flush", deaf)
    async with open_house() as house:
        result = await play(house, written(tmp_path, BARGE_IN % (LONG, "speech"), OVER_IT))
    assert "the voice stops within 1 s when the caller speaks over it" in [one.expected for one in result.failures]
    assert result.hearing is not None
    assert 3.0 < result.hearing.longest_overlap < 8.0


async def test_a_prompt_that_may_not_be_interrupted_is_not_measured(open_house: Open, tmp_path: Path) -> None:
    async with open_house() as house:
        result = await play(house, written(tmp_path, BARGE_IN % (LONG, "none"), OVER_IT))
    assert not result.failures
    assert result.hearing is not None
    assert result.hearing.overlap is None


FACTS = """
vars: {who: {type: string}, name: {type: string}, called: {type: string}, account: {type: string}, year: {type: string}}
steps:
  - answer: {}
  - set:
      who: "${caller.anonymous ? 'nobody' : caller.number}"
      name: "${caller.name}"
      called: "${call.did}"
      account: "${'X-Account' in call.headers ? call.headers['X-Account'] : ''}"
      year: "${string(now).substring(0, 4)}"
  - say: Hello.
"""


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (
            '{did: "+4930123", caller: {number: "+14155550155", name: Ada Löwe}, headers: {X-Account: "A1; b=2"}}',
            '{who: "+14155550155", name: Ada Löwe, called: "+4930123", account: "A1; b=2", year: "2026"}',
        ),
        ('{caller: {number: ""}, now: "2031-01-05T10:00:00+01:00"}', '{who: nobody, account: "", year: "2031"}'),
    ],
)
async def test_who_calls_whom_and_when_is_as_given(open_house: Open, tmp_path: Path, given: str, seen: str) -> None:
    script = f"given: {given}\nscript: [{{expect: {{says: Hello}}}}, {{expect: {{vars: {seen}}}}}]\n"
    async with open_house() as house:
        result = await play(house, written(tmp_path, FACTS, script))
    assert not result.failures


SERIAL = """
steps:
  - answer: {}
  - transfer:
      attempts:
        - ring: serial
          timeout: 3s
          targets: ["pjsip:a", "tel:+14155550101", "pjsip:c", "pjsip:d", "pjsip:e", "pjsip:f"]
        - {targets: ["teams:lee@clinic.example"]}
"""
ANSWERS = """
mocks:
  targets:
    "pjsip:a": no_answer
    "tel:+14155550101": busy
    "pjsip:c": {declined: 1s}
    "pjsip:d": unavailable
    "pjsip:e": failed
    "pjsip:f": impossible
    "teams:lee@clinic.example": {answer: 1s, says: "Good morning, this is Lee speaking.", hangs_up_after: 4s}
script:
  - expect: {transfer: {target: "pjsip:a", status: no_answer}}
  - expect: {transfer: {target: "tel:+14155550101", status: busy}}
  - expect: {transfer: {target: "pjsip:c", status: declined}}
  - expect: {transfer: {target: "pjsip:d", status: unavailable}}
  - expect: {transfer: {target: "pjsip:e", status: failed}}
  - expect: {transfer: {target: "pjsip:f", status: impossible}}
  - expect: {transfer: {target: "teams:lee@clinic.example", status: connected}}
  - caller: Good morning, doctor.
  - expect: {hangup: {by: target, outcome: handed_off}}
"""


async def test_targets_do_on_real_telephones_what_the_test_says(open_house: Open, tmp_path: Path) -> None:
    async with open_house() as house:
        result = await play(house, written(tmp_path, SERIAL, ANSWERS))
    assert not result.failures
