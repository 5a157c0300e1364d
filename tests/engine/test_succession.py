"""A voice that fails in the middle of a talk: the next one goes on, knowing what was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.breaker import FAILURES, REST, Breaker, Breakers
from engine.verb import installed
from engine.virtual import Calls, Closes, Fails, Says, Stalls, VirtualLine, VirtualProvider, virtual_services
from engine.virtual.clock import virtual_time
from engine.voices import known_voices
from flows.language import Language
from providers.voice import Expiring, VoiceError
from tests.engine.verbs.phone import Over, Script, counted, dial, library
from tests.engine.verbs.talking import Directed, asks, converse, finish, interrupts, outcome, provider_of, quiet

CHAIN = "provider: [openai, grok, gemini]\nvoice: {grok: eve}\ngreeting: Hello.\nanswer_within: 3s"


def chain(*replies: Any, **named: VirtualProvider) -> dict[str, VirtualProvider]:
    """Three providers, each with its own script; ``named`` replaces one of them."""
    names = ("openai", "grok", "gemini")
    made = {name: VirtualProvider(script, name=name) for name, script in zip(names, replies, strict=False)}
    return {**{name: VirtualProvider((), name=name) for name in names}, **made, **named}


async def talk(
    folder: Path, script: Script, providers: dict[str, VirtualProvider], fields: str = CHAIN, **options: Any
) -> Over:
    first = providers["openai"]
    services = virtual_services(first, default_voice="openai")
    for name, provider in providers.items():
        services.voices.add(name, provider)
    over = await dial(
        library(folder, converse(fields, after="- say: Sorry.\n")), script, provider=first, services=services, **options
    )
    for name, provider in providers.items():
        assert all(voice.closed for voice in provider.voices), name
        assert not counted(over, "provider_sessions_active", provider=name)
    return over


def system(over: Over) -> list[str]:
    return [said.text for said in over.record.transcript if said.role == "system"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ([Fails("no such model", "bad")], "bad: no such model"),
        ([Closes()], "the session ended"),
        ([Says("A pizza is", 900), Closes()], "the session ended"),
        ([Stalls()], "no audio for 3 s"),
        ([Says("A pizza", 500), Stalls()], "no audio for 3 s"),
    ],
    ids=["fatal", "closes", "closes in a word", "stalls", "stalls in a word"],
)
@virtual_time
async def test_the_next_voice_goes_on(tmp_path: Path, reply: Any, said: str) -> None:
    providers = chain([reply], [[Says("Nine dollars."), finish()]])
    over = await talk(tmp_path, asks, providers)
    assert outcome(over) == "done_"
    [second] = providers["grok"].voices
    assert [(one.role, one.text) for one in second.session.history][:2] == [
        ("voice", "Hello."), ("caller", "What do you have?"),
    ]  # fmt: skip
    assert "You take over this conversation" in second.instructions
    assert (second.session.voice, providers["openai"].voices[0].session.voice) == ("eve", None)
    assert system(over) == [f"grok took over from openai: {said}"]
    assert over.heard[-3:] == ["One moment, please.", "Nine dollars.", "Sorry."]
    assert counted(over, "take_overs_total", **{"from": "openai", "to": "grok"}) == 1


@virtual_time
async def test_the_caller_waits_no_longer_than_it_takes_to_connect(tmp_path: Path) -> None:
    providers = chain([[Closes()]], [[Says("Nine dollars."), finish()]])
    over = await talk(tmp_path, asks, providers)
    began = {said.text: said.at for said in over.record.transcript}
    paused = began["What do you have?"]
    assert (began["Nine dollars."] - paused).total_seconds() < 2.0


@virtual_time
async def test_one_after_the_other_until_nobody_is_left(tmp_path: Path) -> None:
    providers = chain([[Fails()]], [[Fails()]], [[Fails()]])
    over = await talk(tmp_path, asks, providers)
    assert outcome(over) == "provider_error"
    assert [len(provider.voices) for provider in providers.values()] == [1, 1, 1]
    assert over.heard[-1] == "Sorry."


@virtual_time
async def test_one_that_cannot_be_reached_is_passed_over(tmp_path: Path) -> None:
    gone = VirtualProvider((), name="grok", connects_after=VoiceError("no route", code="unreachable"))
    over = await talk(tmp_path, asks, chain([[Fails()]], (), [[Says("Soup."), finish()]], grok=gone))
    assert outcome(over) == "done_"
    assert system(over) == ["gemini took over from openai: server_error: the provider failed"]
    assert counted(over, "provider_errors_total", provider="grok", kind="unreachable") == 1


@virtual_time
async def test_the_first_cannot_be_reached(tmp_path: Path) -> None:
    gone = VirtualProvider((), name="openai", connects_after=VoiceError("no route", code="unreachable"))
    providers = chain((), [[Says("Soup."), finish()]], openai=gone)
    over = await talk(tmp_path, asks, providers)
    assert outcome(over) == "done_"
    assert providers["grok"].voices[0].instructions == "", "it did not take over: it began"
    assert system(over) == []


@virtual_time
async def test_it_greets_when_nobody_had_spoken_yet(tmp_path: Path) -> None:
    mute = provider_of(Directed, name="openai")
    providers = chain((), [[Says("Soup."), finish()]], openai=mute)
    over = await talk(tmp_path, asks, providers)
    assert over.heard[:3] == ["One moment, please.", "Hello.", "Soup."]
    assert outcome(over) == "done_"


@virtual_time
async def test_what_tools_said_is_known_and_what_they_still_say_is_told(tmp_path: Path) -> None:
    fields = CHAIN + "\ntools: {price: {description: P., input: {dish: {type: string}}, set: {dish: '${input.dish}'}}}"
    script = [[Calls("price", {"dish": "pizza"})], [Says("It is", 300), Closes()]]
    providers = chain(script, [[Says("Nine dollars."), finish()]])
    services_head = "vars: {dish: {type: string}}"
    first = providers["openai"]
    services = virtual_services(first, default_voice="openai")
    for name, provider in providers.items():
        services.voices.add(name, provider)
    house = library(tmp_path, converse(fields, after="- say: Sorry.\n", head=services_head))
    over = await dial(house, asks, provider=first, services=services)
    assert outcome(over) == "done_"
    [second] = providers["grok"].voices
    assert '- price({"dish": "pizza"}) said' in second.instructions


@virtual_time
async def test_a_lost_connection_is_tried_again_when_nobody_else_is_left(tmp_path: Path) -> None:
    only = VirtualProvider([[Closes()], [Says("Nine dollars."), finish()]], name="openai")
    over = await talk(tmp_path, asks, {"openai": only}, fields="provider: openai\ngreeting: Hello.")
    assert outcome(over) == "done_"
    assert len(only.voices) == 2
    assert over.heard == ["Hello.", "Nine dollars.", "Sorry."]


@virtual_time
async def test_but_not_twice_in_a_row(tmp_path: Path) -> None:
    only = VirtualProvider([[Closes()], [Closes()], [Says("Never."), finish()]], name="openai")
    over = await talk(tmp_path, asks, {"openai": only}, fields="provider: openai\ngreeting: Hello.")
    assert outcome(over) == "provider_error"


@virtual_time
async def test_the_new_voice_can_be_interrupted_and_is_told_what_was_heard(tmp_path: Path) -> None:
    long = "This goes on for a good while, and the caller has heard enough of it."
    providers = chain([[Closes()]], [[Says(long, 4000)], [Says("Sorry!"), finish()]])

    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.waits(3.0)
        await line.caller.says("Stop it!", 0.6)

    over = await talk(tmp_path, script, providers)
    assert outcome(over) == "done_"
    [second] = providers["grok"].voices
    assert [item for item, _ in second.truncated] == ["item1"], "by its own name for it"


@virtual_time
async def test_a_session_that_must_end_is_renewed_between_two_turns_unheard(tmp_path: Path) -> None:
    only = VirtualProvider([[Says("First answer.")], [Says("Second answer."), finish()]], name="openai", thinks=0.3)

    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.hears("first answer")
        only.voices[0]._emit(Expiring(120))
        await line.caller.waits(2.0)
        await line.caller.says("And to drink?", 1.0)

    over = await talk(tmp_path, script, {"openai": only}, fields="provider: openai\ngreeting: Hello.")
    assert outcome(over) == "done_"
    assert over.heard == ["Hello.", "First answer.", "Second answer.", "Sorry."]
    assert len(only.voices) == 2
    assert [one.text for one in only.voices[1].session.history] == ["Hello.", "What do you have?", "First answer."]
    assert system(over) == []


@virtual_time
async def test_hanging_up_while_another_voice_connects(tmp_path: Path) -> None:
    slow = VirtualProvider((), name="grok", connects_after=2.5)

    async def script(line: VirtualLine) -> None:
        await asks(line)
        await line.caller.waits(2.0)
        await line.caller.hangs_up()

    over = await talk(tmp_path, script, chain([[Closes()]], grok=slow))
    assert over.record.outcome == "caller_hung_up"


@virtual_time
async def test_who_failed_in_other_calls_comes_last(tmp_path: Path) -> None:
    providers = chain([[Says("Late."), finish()]], [[Says("Soup."), finish()]])
    services = virtual_services(providers["openai"], default_voice="openai")
    for name, provider in providers.items():
        services.voices.add(name, provider)
    for _ in range(FAILURES):
        services.voices.breakers["openai"].failed(0.0)
    over = await dial(library(tmp_path, converse(CHAIN)), asks, provider=providers["openai"], services=services)
    assert outcome(over) == "done_"
    assert providers["openai"].voices == []
    assert len(providers["grok"].voices) == 1


@virtual_time
async def test_who_connects_but_never_answers_comes_last_after_a_while(tmp_path: Path) -> None:
    """A session opens without any credit, too."""
    broke = [[Fails("You exceeded your quota.", "insufficient_quota")]] * (FAILURES + 1)
    providers = chain(broke, [[Says("Soup."), finish()]] * (FAILURES + 1))
    services = virtual_services(providers["openai"], default_voice="openai")
    for name, provider in providers.items():
        services.voices.add(name, provider)

    async def at_once(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.5)
        await line.caller.says("What do you have?", 1.0)

    fields = CHAIN.replace("greeting: Hello.\n", "")
    for _ in range(FAILURES + 1):
        over = await dial(library(tmp_path, converse(fields)), at_once, provider=providers["openai"], services=services)
        assert outcome(over) == "done_"
    assert [len(providers[name].voices) for name in ("openai", "grok")] == [FAILURES, FAILURES + 1]


@virtual_time
async def test_a_caller_who_says_nothing_is_no_failure(tmp_path: Path) -> None:
    over = await talk(tmp_path, quiet, chain(), fields=CHAIN + "\nsilence: {after: 4s, reprompts: 0}")
    assert outcome(over) == "silence"
    assert system(over) == []


@virtual_time
async def test_an_interruption_is_no_failure(tmp_path: Path) -> None:
    providers = chain([[Says("Yes?"), finish()]])
    over = await talk(tmp_path, interrupts, providers, fields=CHAIN.replace("Hello.", "Hello. " * 9))
    assert outcome(over) == "done_"
    assert system(over) == []


def test_the_breaker_opens_rests_and_tries_again() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        assert not breaker.failed(0.0)
        assert breaker.allows(0.0)
    assert breaker.failed(0.0)
    assert not breaker.allows(REST - 1)
    assert breaker.allows(REST)
    breaker.asked(REST)
    assert not breaker.allows(REST), "one call tries"
    assert not breaker.failed(REST + 1)
    assert not breaker.allows(REST + 1 + 2 * REST - 1)
    assert breaker.allows(REST + 1 + 2 * REST)
    breaker.succeeded()
    assert breaker.allows(REST + 2)
    assert not breaker.failed(REST + 3)


def test_who_rests_can_be_told() -> None:
    breakers = Breakers()
    for _ in range(FAILURES):
        breakers["openai"].failed(0.0)
    assert breakers.resting(1.0) == ("openai",)
    assert breakers.resting(REST) == ()


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("[]", "is an empty list"),
        ("[rehearsal, rehearsal]", "twice"),
        ("[rehearsal, opnai]", "6:29: error[E302]: unknown voice 'opnai' (did you mean 'openai'?)"),
    ],
)
def test_mistakes_in_the_list_are_told(tmp_path: Path, provider: str, said: str) -> None:
    (tmp_path / "test.flow.yaml").write_text(converse(f"provider: {provider}"))
    loaded = Language(installed(), known_voices()).load([tmp_path])
    assert any(said in str(problem) for problem in loaded.problems), loaded.problems
