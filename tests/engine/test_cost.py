"""What calls cost: counted on the call and in its record, readable in the flow, and capped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.prices import Price, Prices
from engine.safety import APOLOGY, TIME_IS_UP
from engine.spending import MAX_TENANTS, Days, Spending
from engine.usage import count
from engine.virtual import Says, VirtualLine, VirtualProvider, virtual_services
from engine.virtual.clock import virtual_clock, virtual_time
from engine.virtual.recogniser import VirtualRecogniser
from engine.virtual.voice import VirtualSpeaker, VirtualVoice
from providers.voice import Session, Usage, Used
from tests.engine.support import flow as made
from tests.engine.support import make_call
from tests.engine.verbs.phone import Over, counted, dial, flow, library, problems
from tests.engine.verbs.talking import Directed, converse, finish, talk
from tests.engine.writer import Writer

D = Decimal
ANSWER = D("0.50")  # of a virtual voice: 10 tokens in at 0.01, 20 out at 0.02
PRICES = [
    Price("virtual", "", {"input_audio": D("0.01"), "output_audio": D("0.02"), "input_text": D("0.001"),
                          "output_text": D("0.01")}),
    Price("virtual", "metered", {"seconds_heard": D("0.1")}),
    Price("other", "part", {"characters": D("0.001")}),
]  # fmt: skip


def prices() -> Prices:
    return Prices(PRICES)


async def asks_on(line: VirtualLine) -> None:
    """A caller who always has another question."""
    await line.log.until("answered")
    await line.caller.waits(2.0)
    while not line.ended.done():
        await line.caller.says("And then?", 0.5)
        await line.caller.waits(3.0)


ON: Sequence[Any] = [[Says("And then more.")]] * 20


# ── Counting ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@virtual_time
async def test_what_a_call_cost_stands_in_its_record_and_in_the_metrics(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.says("Tell me.", 0.5)

    over = await talk(
        tmp_path, script, [Says("It is ten."), finish()], fields="greeting: Hello.",
        after="- say: It cost ${call.cost}.\n", prices=prices(),
    )  # fmt: skip
    [entry] = over.record.tokens
    assert entry.costs == {"input_audio": D("0.20"), "output_audio": D("0.80")}
    assert over.record.cost == entry.cost == D("1.00")
    assert over.record.currency == "USD"
    assert over.heard[-1] == "It cost 1."
    assert counted(over, "cost_total", provider="virtual", currency="USD") == 1.0
    [step] = [step for step in over.record.steps if step.verb == "converse"]
    assert step.data["cost"] == 1.0
    assert "cost" not in over.record.steps[-1].data
    assert '"cost":"1"' in over.record.model_dump_json()


@virtual_time
async def test_what_no_answer_tells_is_counted_as_it_is_told_and_at_the_end(tmp_path: Path) -> None:
    class Metered(Directed):
        def settle(self) -> Sequence[Usage]:
            assert self.closed
            return [Usage(seconds_heard=2.5, model="metered")]

    class Provider(VirtualProvider):
        def voice(self, session: Session) -> VirtualVoice:
            self.voices.append(Metered(self, session))
            return self.voices[-1]

    provider = Provider()

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(0.2)
        part = Usage(characters=40, model="part", provider="other")
        provider.voices[0].tells(Used(Usage(seconds_heard=1.5, model="metered")), Used(part))  # type: ignore[attr-defined]
        await line.caller.waits(0.5)
        await line.caller.hangs_up()

    over = await talk(tmp_path, script, fields="silence: {after: 60s}", provider=provider, prices=prices())
    found = {(entry.provider, entry.model): entry for entry in over.record.tokens}
    assert found["virtual", "metered"].seconds_heard == 4.0
    assert found["virtual", "metered"].cost == D("0.4")
    assert found["other", "part"].cost == D("0.04")
    assert over.record.cost == D("0.44")
    assert all(entry.turns == 0 for entry in over.record.tokens)


@virtual_time
async def test_a_speaker_whose_vendor_charges_is_counted_by_characters(tmp_path: Path) -> None:
    class Dear(VirtualSpeaker):
        def usage(self, text: str, *, voice: str | None) -> Usage:
            return Usage(characters=len(text), model=voice or "plain")

    class Provider(VirtualProvider):
        def speaker(self) -> VirtualSpeaker:
            return Dear()

    table = Prices([Price("virtual", "*-hd", {"characters": D("0.01")}), Price("virtual", "*", {"characters": D(0)})])
    steps = "- say: Hello.\n- say: {text: Good day., voice: nova-hd}\n- hangup: {}"
    over = await dial(library(tmp_path, flow(steps)), provider=Provider(), prices=table)
    found = {(entry.provider, entry.model): (entry.characters, entry.cost) for entry in over.record.tokens}
    assert found == {("virtual/speech", "plain"): (6, 0), ("virtual/speech", "nova-hd"): (9, D("0.09"))}


class Charging(VirtualRecogniser):
    """Tells what a text cost with the text, and what it heard since when it is closed."""

    def _understood(self, text: str) -> None:
        self._events.put_nowait(Used(Usage(seconds_heard=1.5, model="ears")))
        super()._understood(text)

    def settle(self) -> Sequence[Usage]:
        assert self.closed
        return [Usage(seconds_heard=0.5, model="ears")]


class Listener(VirtualProvider):
    def recogniser(self, **given: Any) -> VirtualRecogniser:
        return Charging(0.1, self.pause, None, (), deaf=False)


@virtual_time
async def test_who_listens_for_a_step_is_counted_too(tmp_path: Path) -> None:
    steps = """
- gather: {say: Who?, input: speech}
  outcomes: {no_input: [], no_match: [], provider_error: []}
- voicemail: {box: sales, silence: 3s, transcribe: true}
  outcomes: {empty: []}
- hangup: {}
"""

    async def script(line: VirtualLine) -> None:
        await line.log.until("heard", who="caller")
        await line.caller.says("Ada.", 1.0)
        await line.caller.waits(3.0)
        await line.caller.says("Please call me back.", 2.0)

    table = Prices([Price("virtual", "ears", {"seconds_heard": D("0.01")})])
    over = await dial(
        library(tmp_path, flow(steps)), script, provider=Listener(), prices=table, storage=tmp_path / "var"
    )
    [entry] = over.record.tokens
    assert (entry.provider, entry.seconds_heard, entry.cost) == ("virtual/listening", 4.0, D("0.04"))


@virtual_time
async def test_what_has_no_price_is_told_once_and_stands_in_the_record() -> None:
    services = virtual_services(prices=prices())
    with capture_logs() as logs:
        for _ in range(2):
            call = make_call(made(), services=services)
            count(call, "virtual/text", Usage(input_text=100, model="unheard-of"))
            count(call, "virtual/text", Usage(input_text=200, output_text=10))
            count(call, "virtual", Usage())
    assert [(log["provider"], log["model"], log["kinds"]) for log in logs] == [
        ("virtual/text", "unheard-of", ["input_text"])
    ]
    assert [(entry.provider, entry.model, entry.unpriced) for entry in call.record.tokens] == [
        ("virtual/text", "unheard-of", ["input_text"]), ("virtual/text", "", []), ("virtual", "", []),
    ]  # fmt: skip
    assert call.record.cost == D("0.3")
    value = services.metrics.registry.get_sample_value
    assert value("hookflash_cost_unpriced_total", {"provider": "virtual/text", "model": "unheard-of"}) == 2


@virtual_time
async def test_many_small_amounts_add_up_to_what_they_are_together() -> None:
    table = Prices([Price("virtual", "", {"input_text": D(1) / 3_000_000_000})])  # a third of the smallest amount
    call = make_call(made(), services=virtual_services(prices=table))
    for _ in range(300):
        count(call, "virtual", Usage(input_text=1))
    assert call.record.cost == call.record.tokens[0].cost == D("0.0000001")


@pytest.mark.parametrize("number", [-5, float("nan"), float("inf"), 1e30])
@virtual_time
async def test_a_number_that_cannot_be_is_not_counted(number: float) -> None:
    call = make_call(made(), services=virtual_services(prices=prices()))
    count(call, "virtual", Usage(input_text=100, seconds_heard=number))
    assert (call.record.cost, call.record.tokens[0].seconds_heard) == (D("0.1"), 0)


# ── The cap of a call ─────────────────────────────────────────────────────────────────────────────────────────────────

HANDLED = "limits: {cost: 1.20}\nhandlers: [{event: cost, steps: [{say: Now a person.}, {hangup: {}}]}]\n"


async def costly(folder: Path, head: str, fields: str = "greeting: Hello.", **options: Any) -> Over:
    return await talk(folder, asks_on, *ON, fields=fields, head=head, **{"prices": prices(), **options})


@virtual_time
async def test_a_call_that_costs_too_much_goes_to_its_handler(tmp_path: Path) -> None:
    over = await costly(tmp_path, HANDLED)
    assert over.heard[-1] == "Now a person."
    assert over.record.cost == 3 * ANSWER, "the answer that reaches the cap is the last"
    assert over.record.error == "cost: the call cost 1.5 USD, of 1.2 that it may"
    assert over.ways[0] == ("converse", "cancelled")
    told = [said.text for said in over.record.transcript if said.role == "system"]
    assert told == ["the call cost 1 of 1.2 that it may (USD)"]


@virtual_time
async def test_without_a_handler_the_caller_is_told_that_the_time_is_over(tmp_path: Path) -> None:
    over = await costly(tmp_path, "limits: {cost: 1}")
    assert over.heard[-1] == TIME_IS_UP
    assert over.record.outcome == "failed"


@virtual_time
async def test_without_a_handler_of_its_own_the_one_for_errors_runs(tmp_path: Path) -> None:
    over = await costly(tmp_path, "limits: {cost: 1}\nhandlers: [{event: error, steps: [{say: Sorry.}]}]")
    assert over.heard[-1] == "Sorry."


@virtual_time
async def test_without_a_handler_whoever_can_be_rung_gets_the_call(tmp_path: Path) -> None:
    over = await costly(
        tmp_path, "limits: {cost: 1}", safety_destination="pjsip:desk",
        line=VirtualLine(targets={"pjsip:desk": {"answer": 2, "hangs_up_after": 5}}),
    )  # fmt: skip
    assert over.record.outcome == "handed_off"
    assert [(attempt.target, attempt.status) for attempt in over.record.attempts] == [("pjsip:desk", "answered")]


@pytest.mark.parametrize(("flow", "setting"), [("limits: {cost: 9}\n", "1"), ("limits: {cost: 1}\n", "9"), ("", "1")])
@virtual_time
async def test_of_two_caps_the_lower_holds(tmp_path: Path, flow: str, setting: str) -> None:
    over = await costly(tmp_path, flow, max_cost=D(setting))
    assert over.record.cost == 2 * ANSWER


@virtual_time
async def test_a_call_that_is_being_handed_over_is_left_alone(tmp_path: Path) -> None:
    """The brief for the person is what reaches the cap: no reason to take the person away."""
    writer = Writer("The caller wants a pizza.")
    provider = VirtualProvider([[Says("Yes."), finish("person")]], writer=writer)
    after = """
- transfer:
    brief: {auto: true}
    attempts: [{targets: ["pjsip:desk"]}]
"""

    async def script(line: VirtualLine) -> None:
        await line.caller.hears("hello")
        await line.caller.says("A person!", 0.5)

    services = virtual_services(provider, prices=prices(), texts=texts(provider))
    over = await dial(
        library(tmp_path, converse("greeting: Hello.", after=after, head="limits: {cost: 1.01}\n")), script,
        provider=provider, services=services,
        line=VirtualLine(targets={"pjsip:desk": {"answer": 2, "hangs_up_after": 5}}),
    )  # fmt: skip
    assert over.record.cost > D("1.01")
    assert over.record.outcome == "handed_off"


def texts(provider: VirtualProvider) -> Any:
    from engine.text import Texts
    from engine.voices import Voices

    voices = Voices()
    voices.add(provider.name, provider)
    return Texts(voices, provider.name)


@virtual_time
async def test_time_still_counts_in_the_handler_of_cost(tmp_path: Path) -> None:
    head = """
defaults: {max_call: 30s}
limits: {cost: 1}
handlers:
  - {event: cost, steps: [{wait: 2m}]}
  - {event: max_call, steps: [{say: Enough.}]}
"""
    over = await costly(tmp_path, head)
    assert over.heard[-1] == "Enough."
    assert over.line.log.now < 40


@virtual_time
async def test_a_flow_may_look_at_the_cost_itself(tmp_path: Path) -> None:
    after = "- say: That was dear.\n  when: call.cost > 0.9\n- say: Cheap.\n  when: call.cost <= 0.9\n"
    over = await talk(tmp_path, asks_on, [finish()], fields="greeting: Hello.", after=after, prices=prices())
    assert over.record.cost == ANSWER
    assert over.heard[-1] == "Cheap."


# ── The cap of a day ──────────────────────────────────────────────────────────────────────────────────────────────────


def spent_days() -> Days:
    days = Days(D(1))
    days.add("", D(1), virtual_clock().now())
    return days


@virtual_time
async def test_when_the_day_is_spent_a_call_goes_to_the_handler_before_its_first_step(tmp_path: Path) -> None:
    days = Days(D("0.50"))
    first = await costly(tmp_path, HANDLED, days=days)
    assert first.record.cost == 3 * ANSWER, "a call that lives goes on"
    second = await costly(tmp_path, HANDLED, days=days)
    assert second.heard == ["Now a person."]
    assert second.record.cost == 0
    assert second.record.error == "cost: today's calls cost 1.5 USD, of 0.5 that they may"
    other = await costly(tmp_path, f"defaults: {{account: acme}}\n{HANDLED}", days=days)
    assert other.record.cost == 3 * ANSWER, "each tenant has a cap of its own"
    account = await costly(tmp_path, f"{HANDLED}\ndefaults: {{account: bella}}", days=days)
    assert account.record.cost == 3 * ANSWER, "and each account"


@virtual_time
async def test_when_the_day_is_spent_and_nobody_can_be_rung_the_caller_is_asked_to_call_again(tmp_path: Path) -> None:
    over = await costly(tmp_path, "", days=spent_days())
    assert over.heard == [APOLOGY]


@virtual_time
async def test_when_the_day_is_spent_the_safety_destination_is_rung(tmp_path: Path) -> None:
    over = await costly(
        tmp_path, "", days=spent_days(), safety_destination="pjsip:desk",
        line=VirtualLine(targets={"pjsip:desk": {"answer": 2, "hangs_up_after": 5}}),
    )  # fmt: skip
    assert (over.record.outcome, over.ways) == ("handed_off", [])


def test_a_new_day_begins_at_nothing() -> None:
    days, noon = Days(D(1)), datetime(2026, 3, 4, 12, tzinfo=UTC)
    days.add("acme", D(1), noon)
    assert days.over("acme", noon)
    assert not days.over("other", noon)
    assert not days.over("acme", noon + timedelta(hours=12))
    assert days.spent("acme", noon + timedelta(hours=12)) == 0


def test_however_many_tenants_there_are_the_memory_is_bounded_and_who_spent_most_is_remembered() -> None:
    days, now = Days(D(10)), datetime(2026, 3, 4, 12, tzinfo=UTC)
    days.add("dear", D(9), now)
    for number in range(MAX_TENANTS + 50):
        days.add(f"t{number}", D(1), now)
    assert len(days._spent) == MAX_TENANTS
    assert days.spent("dear", now) == 9


def test_without_a_cap_nothing_is_remembered() -> None:
    days = Days()
    days.add("acme", D(1), datetime.now(UTC))
    assert (days._spent, days.over("acme", datetime.now(UTC))) == ({}, False)
    spending = Spending(None)
    assert not spending.add(D(1000))
    assert not spending.over.is_set()


# ── The check ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("head", "problem"),
    [
        ("limits: {cots: 1}", "2:10: error[E201]: unknown key 'cots' (did you mean 'cost'?)"),
        ("limits: {max_call: 15m}", "2:10: error[E201]: unknown key 'max_call'; it stands in 'defaults'"),
        ("limits: {cost: 1 USD}", "2:16: error[E203]: 'cost' is an amount above 0, such as 0.50"),
        ("limits: {cost: 0}", "2:16: error[E203]: 'cost' is an amount above 0"),
        ("limits: {cost: true}", "2:16: error[E203]: 'cost' is an amount above 0"),
        ("limits: 0.50", "2:9: error[E203]: 'limits' must be a mapping"),
        ("limit: {cost: 1}", "2:1: error[E201]: unknown key 'limit' (did you mean 'limits'?)"),
        ("handlers: [{event: costs, steps: []}]", "unknown event 'costs' (did you mean 'cost'?)"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, head: str, problem: str) -> None:
    [told] = [told for told in problems(tmp_path, "- hangup: {}", head=head) if "error" in told]
    assert problem in told


def test_the_cost_has_a_type(tmp_path: Path) -> None:
    assert problems(tmp_path, "- say: ${call.cost + 1.0}\n- hangup: {}") == []
    assert "call.costs" in problems(tmp_path, "- say: ${call.costs}\n- hangup: {}")[0]
