"""The table of prices: which price holds, what usage costs by it, and what is wrong in a file of one's own."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.price_file import PricesError, load_prices, shipped
from engine.prices import Price, Prices, costs
from engine.record import Tokens
from engine.verbs import installed
from flows.language import Language
from providers import chat, gemini, google, grok, openai
from providers.registry import names

D = Decimal


def priced(provider: str, model: str, **used: Any) -> tuple[dict[str, Decimal], list[str]]:
    return costs(shipped().charges(provider, model), Tokens(provider=provider, model=model, **used))


# ── What it costs ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cached_tokens_are_charged_for_once_and_by_their_kind() -> None:
    found, unpriced = priced(
        "openai", "gpt-realtime-2.1-mini",
        input_text=1_000_000, input_audio=2_000_000, cached=900_000, cached_audio=500_000,
        output_text=100_000, output_audio=1_000_000,
    )  # fmt: skip
    assert unpriced == []
    assert found == {
        "input_text": D("0.36"), "cached_text": D("0.024"), "input_audio": D("15"), "cached_audio": D("0.15"),
        "output_text": D("0.24"), "output_audio": D("20"),
    }  # fmt: skip


def test_cached_tokens_without_a_price_or_details_cost_what_input_costs() -> None:
    assert priced("gemini", "gemini-3.8-live", input_audio=1_000_000, cached=400_000) == ({"input_audio": D(3)}, [])
    told_no_kind = priced("openai", "gpt-realtime-2.1", input_text=100, input_audio=1_000_000, cached=500_100)
    assert told_no_kind[0] == {"cached_text": D("0.00004"), "input_audio": D(16), "cached_audio": D("0.2")}


def test_minutes_characters_and_items_have_prices_of_their_own() -> None:
    found, unpriced = priced("grok", "grok-voice-latest", seconds_heard=90, seconds_spoken=30, items=2, input_text=9)
    assert (found, unpriced) == ({"seconds_heard": D("0.12"), "seconds_spoken": D("0.04"), "items": D("0.008")}, [])
    assert priced("openai", "gpt-transcribe", seconds_heard=60)[0] == {"seconds_heard": D("0.0045")}
    table = Prices([Price("p", "*", {"characters": D("0.00003")})])
    assert costs(table.charges("p", "voice"), Tokens(provider="p", characters=1000))[0] == {"characters": D("0.03")}


@pytest.mark.parametrize(
    ("provider", "model", "unpriced"),
    [
        ("openai", "gpt-next", ["input_audio", "items"]),
        ("openai", "", ["input_audio", "items"]),
        ("openai", "gpt-realtime-2.1", ["items"]),
        ("gpt-transcribe", "gpt-transcribe", ["input_audio", "items"]),
        ("rehearsal", "anything", []),
    ],
)
def test_what_has_no_price_is_told_and_never_guessed(provider: str, model: str, unpriced: list[str]) -> None:
    found, told = priced(provider, model, input_audio=7, items=1)
    assert told == unpriced
    assert not set(found) & set(unpriced)


def test_each_kind_costs_what_the_most_exact_entry_says_and_ones_own_table_comes_first() -> None:
    ours = [Price("p", "m-*", {"items": D(1)})]
    theirs = [
        Price("p", "*", {"items": D(2), "characters": D(2), "input_text": D(2)}),
        Price("p", "m-1", {"items": D(3), "input_text": D(3)}),
        Price("p", "m-*-x", {"input_text": D(4)}),
    ]
    table = Prices(ours, theirs)
    assert table.charges("p", "m-1") == {"items": 1, "input_text": 3, "characters": 2}
    assert table.charges("p", "m-9-x") == {"items": 1, "input_text": 4, "characters": 2}
    assert table.charges("p", "n") == {"items": 2, "input_text": 2, "characters": 2}
    assert table.charges("q", "m-1") == {}


def test_a_cascade_that_thinks_with_the_usual_model_has_a_price_for_all_that_it_uses() -> None:
    used = {"input_text": 1_000_000, "output_text": 1_000_000, "seconds_heard": 3600, "characters": 1_000_000}
    both = (("google", google.TEXT_MODEL, 0.1 + 0.4 + 0.96 + 30), ("azure-speech", chat.MODEL, 0.75 + 4.5 + 1 + 15))
    for provider, model, cost in both:
        found, unpriced = priced(provider, model, **used)
        assert (unpriced, float(sum(found.values()))) == ([], pytest.approx(cost, abs=0.001))


# ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_shipped_table_is_right_and_says_where_each_price_is_from() -> None:
    entries = list(shipped().entries())
    assert {"openai", "grok", "gemini", "chat", "gpt-live"} <= {entry.provider for entry in entries}
    assert all(entry.source and entry.date >= "2026" for entry in entries)


def test_the_default_models_of_voices_whose_vendor_names_a_price_are_in_it() -> None:
    known = {(entry.provider, entry.model) for entry in shipped().entries()}
    defaults = {
        ("openai", openai.MODEL), ("openai", openai.TRANSCRIPTION_MODEL), ("openai", chat.MODEL),
        ("chat", chat.MODEL), ("grok", grok.MODEL), ("gemini", gemini.MODEL),
    }  # fmt: skip
    assert defaults <= known
    assert {"openai", "grok", "gemini", "chat"} <= set(names())


OWN = """
currency: USD
note: Our contract of March.
prices:
  - {provider: openai, model: gpt-realtime-2.1, source: our contract, date: "2026-03-01", tokens: {input_audio: 20}}
  - {provider: [chat, openai], model: "*", source: our machine, date: "2026-03-01", free: true}
"""


def own(folder: Path, text: str) -> Path:
    file = folder / "prices.yaml"
    file.write_text(text)
    return file


def test_ones_own_prices_come_before_the_shipped_ones(tmp_path: Path) -> None:
    table = load_prices(own(tmp_path, OWN))
    charges = table.charges("openai", "gpt-realtime-2.1")
    assert (charges["input_audio"], charges["output_audio"]) == (D("0.00002"), 0)
    assert table.charges("chat", "llama")["output_text"] == 0
    assert table.charges("grok", "grok-voice-latest") == shipped().charges("grok", "grok-voice-latest")


def test_costs_in_another_currency(tmp_path: Path) -> None:
    text = """
currency: EUR
rates: {USD: 0.86}
prices:
  - {provider: azure-openai, model: ours, source: contract, date: "2026-03-01", tokens: {input_audio: 20}}
"""
    table = load_prices(own(tmp_path, text), "EUR")
    assert table.currency == "EUR"
    assert table.charges("azure-openai", "ours")["input_audio"] == D("0.00002")
    assert table.charges("openai", "gpt-realtime-2.1")["input_audio"] == D("0.00002752")


def test_a_currency_without_a_rate_is_told_once() -> None:
    with pytest.raises(PricesError) as caught:
        load_prices(currency="EUR")
    [_, first] = str(caught.value).splitlines()
    assert first.startswith("providers/prices.yaml:")
    assert "this price is in USD, and costs are counted in EUR: add 'rates: {USD: …}'" in first


HEAD = "prices:\n  - "
WHOLE = 'provider: p, model: m, source: s, date: "2026-03-01"'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: error[E202]: a file of prices needs a list under 'prices:'"),
        ("prices: 3", "1:9: error[E202]: 'prices' must be a list"),
        ("price: []", "1:1: error[E201]: unknown key 'price' (did you mean 'prices'?)"),
        (HEAD + "openai", "2:5: error[E203]: a price is a mapping"),
        (HEAD + "{" + WHOLE + ", token: {input_text: 1}}", "unknown key 'token' (did you mean 'tokens'?)"),
        (HEAD + "{" + WHOLE + ", tokens: {audio_in: 1}}", "unknown key 'audio_in' (has: cached_audio"),
        (HEAD + "{" + WHOLE + ", tokens: {input_text: 4 USD}}", "2:81: error[E203]: 'input_text' must be a price"),
        (HEAD + "{" + WHOLE + ", minutes: {heard: -1}}", "'heard' must be a price: a number from 0"),
        (HEAD + "{" + WHOLE + ", minutes: 3}", "'minutes' is a mapping from kind to price (has: heard"),
        (HEAD + "{" + WHOLE + "}", "2:5: error[E202]: an entry needs a price"),
        (HEAD + "{" + WHOLE + ", items: 1, free: true}", "or 'free: true', not both"),
        (HEAD + "{" + WHOLE + ", free: maybe}", "'free' must be true or false"),
        (HEAD + "{provider: p, source: s, date: '2026-03-01', free: true}", "a price needs 'model', such as"),
        (HEAD + "{model: m, source: s, date: '2026-03-01', free: true}", "a price needs a 'provider'"),
        (HEAD + "{provider: [], model: m, source: s, date: '2026-03-01', free: true}", "a price needs a 'provider'"),
        (HEAD + "{provider: p, model: m, source: s, date: soon, free: true}", "'soon' is no date such as 2026-11-20"),
        (HEAD + "{" + WHOLE + ", free: true, currency: dollars}", "'dollars' is no currency such as USD or EUR"),
        ("rates: {USD: 0}\nprices: []", "1:14: error[E203]: the rate of USD must be a number above 0"),
        ("rates: {usd: 1}\nprices: []", "1:9: error[E203]: 'usd' is no currency such as USD or EUR"),
        ("rates: 3\nprices: []", "'rates' is a mapping, such as {USD: 0.86}"),
        (f"{HEAD}{{{WHOLE}, items: 1}}\n  - {{{WHOLE}, items: 2}}", "3:5: error[E203]: p m has a price already"),
        ("prices: [", "not valid YAML"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    file = own(tmp_path, text)
    with pytest.raises(PricesError) as caught:
        load_prices(file)
    assert f"{file}:" in str(caught.value)
    assert problem in str(caught.value)


def test_everything_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(PricesError) as caught:
        load_prices(own(tmp_path, "prices:\n  - {provider: p, tokens: {x: 1}}\n  - {model: 3}\nrate: 1\n"))
    assert len(str(caught.value).splitlines()) > 8


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PricesError, match=r"cost.prices cannot be read: .*nowhere.yaml: No such"):
        load_prices(tmp_path / "nowhere.yaml")


# ── The guide ─────────────────────────────────────────────────────────────────────────────────────────────────────────

GUIDE = re.findall(r"```yaml\n(.*?)```", (Path(__file__).parents[2] / "docs" / "cost.md").read_text(), re.DOTALL)


def test_what_the_guide_shows_is_right(tmp_path: Path) -> None:
    [flow] = [block for block in GUIDE if block.startswith("flow:")]
    (tmp_path / "example.flow.yaml").write_text(flow)
    assert [str(problem) for problem in Language(installed()).load([tmp_path]).problems] == []
    tables = [block for block in GUIDE if "prices:" in block]
    assert len(tables) == 2
    for text in tables:
        currency = str(yaml.safe_load(text)["currency"])
        assert load_prices(own(tmp_path, text), currency).currency == currency
