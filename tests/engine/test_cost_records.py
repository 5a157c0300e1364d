"""What calls on record cost: `hookflash calls --cost`."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.record import CallRecord, Tokens, written
from engine.records import Records

D = Decimal
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    for name in list(os.environ):
        if name.startswith("HOOKFLASH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOOKFLASH_DATABASE_URL", url)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)


def record(id: str, flow: str, days: int, *used: tuple[str, str, str], unpriced: bool = False) -> CallRecord:
    tokens = [Tokens(provider=provider, model=model, cost=D(cost)) for provider, model, cost in used]
    if unpriced:
        tokens.append(Tokens(provider="chat", model="llama", input_text=9, unpriced=["input_text"]))
    return CallRecord(
        id=id, flow=flow, started=NOON + timedelta(days=days), outcome="completed", tokens=tokens,
        cost=sum((entry.cost for entry in tokens), D(0)), currency="USD",
    )  # fmt: skip


CALLS = (
    record("a", "shop", 0, ("openai", "gpt-realtime-2.1", "0.1"), ("openai", "gpt-transcribe", "0.000000001")),
    record("b", "shop", 0, ("openai", "gpt-realtime-2.1", "0.2"), unpriced=True),
    record("c", "clinic", 1, ("grok", "grok-voice-latest", "1.5")),
    record("d", "clinic", 1),
)


def store(*records: CallRecord) -> None:
    async def save() -> None:
        async with Records.open(os.environ["HOOKFLASH_DATABASE_URL"]) as opened:
            for each in records:
                await opened.save(each)

    asyncio.run(save())


def run(*arguments: str) -> str:
    result = CliRunner().invoke(main, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def test_costs_by_provider_by_flow_and_by_day() -> None:
    store(*CALLS)
    [costs] = json.loads(run("calls", "--cost", "--json"))
    assert costs == {
        "currency": "USD", "calls": 3, "cost": "1.800000001", "unpriced": 1,
        "by_provider": [
            {"provider": "grok grok-voice-latest", "calls": 1, "cost": "1.5", "unpriced": 0},
            {"provider": "openai gpt-realtime-2.1", "calls": 2, "cost": "0.3", "unpriced": 0},
            {"provider": "openai gpt-transcribe", "calls": 1, "cost": "0.000000001", "unpriced": 0},
            {"provider": "chat llama", "calls": 1, "cost": "0", "unpriced": 1},
        ],
        "by_flow": [
            {"flow": "clinic", "calls": 1, "cost": "1.5", "unpriced": 0},
            {"flow": "shop", "calls": 2, "cost": "0.300000001", "unpriced": 1},
        ],
        "by_day": [
            {"day": "2026-03-04", "calls": 2, "cost": "0.300000001", "unpriced": 1},
            {"day": "2026-03-05", "calls": 1, "cost": "1.5", "unpriced": 0},
        ],
    }  # fmt: skip


def test_costs_as_a_table() -> None:
    store(*CALLS)
    lines = [line.split() for line in run("calls", "--cost").splitlines()]
    assert lines[0] == ["calls", "USD", "a", "call"]
    assert ["openai", "gpt-realtime-2.1", "2", "0.3000", "0.1500"] in lines
    assert ["2026-03-05", "1", "1.5000", "1.5000"] in lines
    assert ["all", "3", "1.8000", "0.6000"] in lines
    assert run("calls", "--cost").splitlines()[-1] == (
        "1 calls used something that has no price and counts as nothing: chat llama"
    )


@pytest.mark.parametrize(
    ("filters", "cost"), [(["--flow", "shop"], "0.300000001"), (["--since", "2026-03-05T00:00+00:00"], "1.5")]
)
def test_filters_hold_for_costs_too(filters: list[str], cost: str) -> None:
    store(*CALLS)
    [costs] = json.loads(run("calls", "--cost", "--json", *filters))
    assert costs["cost"] == cost


def test_costs_of_nothing(url: str) -> None:
    nothing = "No calls recorded yet." if url.startswith("sqlite") else "No such calls used anything."
    assert run("calls", "--cost") == f"{nothing}\n"
    assert json.loads(run("calls", "--cost", "--json")) == []
    store(CALLS[3])
    assert run("calls", "--cost") == "No such calls used anything.\n"


def test_the_list_and_one_call_tell_the_cost() -> None:
    store(*CALLS)
    assert "0.2000 USD" in run("calls")
    told = run("calls", "show", "b")
    assert "openai gpt-realtime-2.1:  = 0.2 USD" in told
    assert "chat llama: 9 text tokens in (no price for input_text)" in told
    assert "cost: 0.2 USD" in told


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("1.500000000", "1.5"), ("0E-9", "0"), ("1E-9", "0.000000001"), ("10", "10"), ("1E+2", "100")],
)
def test_money_is_written_without_an_exponent(amount: str, text: str) -> None:
    assert written(D(amount)) == text
