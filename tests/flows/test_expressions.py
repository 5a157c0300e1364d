"""Expressions: what they give, what they refuse, and what they cost."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import scan
from flows.calendars import Calendar
from flows.expressions import CONTEXT, ExpressionError, FaultsError, Names
from flows.fields import Condition, Expression, Text, Value
from flows.problems import MistakeError
from flows.vocabulary import ELSEWHERE, FUNCTIONS, MACROS, MATH, METHODS

NAMES = Names(
    {
        **CONTEXT, "vars.round": "integer", "vars.price": "number", "vars.name": "string", "vars.done": "boolean",
        "vars.order": "object", "vars.list": "array", "vars.free": "any", "steps.book.ref": "string",
    },
    {"office": Calendar("office", ZoneInfo("Europe/Berlin"), {0: ((540, 1080),)})},
)  # fmt: skip
CONTEXT_OF_A_CALL: dict[str, Any] = {
    "vars": {
        "round": 2, "price": 9, "name": "Ada", "done": False, "order": {"dish": "soup", "count": 2.0, "cost": 2.5},
        "list": [1.0, 2], "free": None,
    },
    "call": {"id": "c1", "headers": {"X-Plan": "gold"}},
    "now": datetime(2026, 5, 3, 10, tzinfo=UTC),  # a Sunday
}  # fmt: skip


def run(source: str, context: dict[str, Any] | None = None) -> Any:
    return NAMES.compile(source).run(CONTEXT_OF_A_CALL if context is None else context)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("vars.round + 1", 3),
        ("vars.price * 2.0", 18.0),
        ("vars.order.count + 1", 3),
        ("vars.order.cost * 2.0", 5.0),
        ("vars.list[0] + 1", 2),
        ("vars.order.?nope.orValue('none')", "none"),
        ("has(vars.order.dish) && !has(vars.order.nope)", True),
        ("call.headers['X-Plan'] == 'gold'", True),
        ("vars.name.upperAscii() + string(vars.round)", "ADA2"),
        ("vars.free == null", True),
        ("steps.book.ref == null", True),
        ("default(steps.book.ref, 'none')", "none"),
        ("default(vars.name, 'none')", "Ada"),
        ("default('', 'none')", "none"),
        ("default(vars.round, 0) + 1", 3),
        ("size(vars.order) > 0", True),
        ("now.getHours('America/New_York')", 6),
        ("'a' in ['a', 'b'] ? 'yes' : 'no'", "yes"),
        ("[1, 2, 3].filter(n, n > 1).map(n, n * 10)", [20, 30]),
        ("spell('A 17')", "A, 1, 7"),
        ("spell(42)", "4, 2"),
        ("say_number(0)", "zero"),
        ("say_number(-10)", "minus ten"),
        ("say_number(42)", "forty-two"),
        ("say_number(1300017)", "one million three hundred thousand seventeen"),
        ("money(12.5, 'EUR')", "12 euros and 50 cents"),
        ("money(1, 'usd')", "1 dollar"),
        ("money(0.01, 'GBP')", "1 penny"),
        ("money(-2.02, 'GBP')", "minus 2 pounds and 2 pence"),
        ("money(7, 'SEK')", "7.00 SEK"),
        ("mask('4111111111111111')", "************1111"),
        ("mask('123', 2)", "*23"),
        ("mask('12')", "12"),
        ("hex('a é')", "6120c3a9"),
        ("digits('+1 (415) 555')", "1415555"),
        ("e164('00 49 711 123456')", "+49711123456"),
        ("e164('0711/123456', '49')", "+49711123456"),
        ("is_open('office')", False),
        ("next_open('office')", "tomorrow at 9 AM"),
    ],
)
def test_values(source: str, expected: Any) -> None:
    found = run(source)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("vars.order.nope", 'there is no key "nope"'),
        ("vars.free + 1", "'vars.free' has no value yet"),
        ("steps.book.ref + 'a'", "'steps.book.ref' has no value yet"),
        ("steps.book.ref.upperAscii()", "'steps.book.ref' has no value yet"),
        ("1 / (vars.round - 2)", "divide by zero"),
        ("e164('0711')", "'0711' is not a telephone number"),
        ("say_number(vars.order.cost)", "needs a whole number"),
        ("vars.list[9]", "index"),
        ("next_open(vars.name)", "unknown calendar 'Ada'"),
    ],
)
def test_failures_in_a_call_are_typed_and_worded(source: str, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        run(source)
    assert message in raised.value.message


def test_a_type_is_known_before_the_call() -> None:
    kinds = {source: NAMES.compile(source).type for source in ("vars.round + 1", "vars.name", "vars.free", "vars.order",
             "[1]", "1.5", "vars.round > 1", "now", "vars.order.dish")}  # fmt: skip
    assert list(kinds.values()) == [
        "integer",
        "string",
        "any",
        "object",
        "array",
        "number",
        "boolean",
        "timestamp",
        "any",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "vars.list.map(a, vars.list.map(b, vars.list.map(c, vars.list.map(d, 1))))",
        "'" + "a" * 1001 + "'",
        "(" * 60 + "1" + ")" * 60,
    ],
)
def test_what_is_too_deep_or_too_long_is_refused(source: str) -> None:
    with pytest.raises(FaultsError) as raised:
        NAMES.compile(source)
    assert [fault.code for fault in raised.value.faults] == ["E304"]


def test_an_expression_cannot_stall_the_engine() -> None:
    many = "[" + ",".join("1" * 60) + "]"
    program = NAMES.compile(f"{many}.map(a, {many}.map(b, {many}.map(c, 1))).size()")
    started = time.process_time()
    with pytest.raises(ExpressionError, match="budget"):
        program.run(CONTEXT_OF_A_CALL)
    assert time.process_time() - started < 0.5


def test_a_result_cannot_grow_without_bound() -> None:
    context = {"vars": {"name": "x" * 40_000}}
    with pytest.raises(ExpressionError, match="larger than"):
        run("vars.name + vars.name", context)
    with pytest.raises(ExpressionError, match="longer than"):
        Text("${vars.name}${vars.name}").render(context)


def test_an_evaluation_takes_some_tens_of_microseconds_at_most() -> None:
    program = NAMES.compile("vars.round < 3 && vars.name == 'Ada' && default(steps.book.ref, 'none') == 'none'")
    best = min(_seconds(program) for _ in range(5))
    assert best < 200e-6


def _seconds(program: Any) -> float:
    started = time.process_time()
    for _ in range(100):
        program.run(CONTEXT_OF_A_CALL)
    return (time.process_time() - started) / 100


# ── Outside of a flow ────────────────────────────────────────────────────────────────────────────────────────────────


def test_texts() -> None:
    text = Text("Hello ${vars.name}, ${vars.n} of ${vars.list}${vars.none}. $${not} ${'}'} ${{'a': 1.0}['a']}")
    context = {"vars": {"name": "Ada", "n": 3.0, "list": [1, True], "none": None}}
    assert text.render(context) == "Hello Ada, 3 of [1, true]. ${not} } 1"
    assert text.literal is None
    assert (Text("plain $ {x}").literal, Text("").literal) == ("plain $ {x}", "")


def test_only_what_expressions_give_is_escaped() -> None:
    assert Text("/a/${vars.x}").render({"vars": {"x": "b/c"}}, lambda text: text.replace("/", "%2F")) == "/a/b%2Fc"


def test_values_keep_their_types() -> None:
    value = Value({"a": "${vars.n}", "b": ["n is ${vars.n}", 2, None], "c": {"d": "${vars.o}"}, "e": " ${vars.n}"})
    context = {"vars": {"n": 3, "o": {"x": True}}}
    assert value.evaluate(context) == {"a": 3, "b": ["n is 3", 2, None], "c": {"d": {"x": True}}, "e": " 3"}
    assert [Value(source).type for source in ("x", "${1}", "a${1}", 1, True, 1.5, None, [], {})] == [
        "string", "integer", "string", "integer", "boolean", "number", "any", "array", "object",
    ]  # fmt: skip


def test_a_condition_is_true_or_false() -> None:
    assert Condition("vars.n > 1").evaluate({"vars": {"n": 2}}) is True
    with pytest.raises(ExpressionError, match="neither true nor false"):
        Condition("vars.n").evaluate({"vars": {"n": 2}})
    with pytest.raises(MistakeError, match="must be boolean"):
        Condition("1 + 1")
    with pytest.raises(MistakeError, match="without"):
        Condition.read("${vars.n > 1}", None)


def test_equal_sources_are_equal() -> None:
    assert Text("a ${vars.x}") == Text("a ${vars.x}")
    assert Expression("vars.x") != Expression("vars.y")
    assert len({Text("a"), Text("a"), Text("b")}) == 2


@given(st.text(alphabet="ab ${}'\"\\\n.()", max_size=40))
def test_any_text_is_cut_or_refused(text: str) -> None:
    refused: scan.TemplateError | None = None
    pieces: list[str | scan.Hole] = []
    try:
        pieces = scan.cut(text)
    except scan.TemplateError as error:
        refused = error
    assert refused is None or 0 <= refused.offset < len(text)
    holes = [piece for piece in pieces if isinstance(piece, scan.Hole)]
    assert all(text[hole.offset : hole.offset + len(hole.source)] == hole.source for hole in holes)


@given(st.text(alphabet="vars.ond+-*/()[]{}'\"?:!&|=<>, 123\n\\", max_size=60))
def test_any_expression_compiles_or_is_refused_at_a_place_in_it(source: str) -> None:
    faults = None
    try:
        NAMES.compile(source)
    except FaultsError as error:
        faults = error.faults
    assert faults is None or (faults and all(0 <= fault.offset <= len(source) for fault in faults))


@pytest.mark.parametrize(
    ("source", "offset", "said"),
    [
        ("vars.name.startswith('a')", 10, "unknown function 'startswith' (did you mean 'startsWith'?)"),
        ("startswith(vars.name, 'a')", 0, "unknown function 'startswith' (did you mean 'startsWith'?)"),
        ("vars.name.contain('a')", 10, "unknown function 'contain' (did you mean 'contains'?)"),
        ("now.getHour()", 4, "unknown function 'getHour' (did you mean 'getHours'?)"),
        ("vars.name.upper()", 10, "unknown function 'upper' (did you mean 'upperAscii'?)"),
        ("'a'.upper()", 4, "unknown function 'upper' (did you mean 'upperAscii'?)"),
        ("vars.list.filtr(x, x > 1)", 10, "unknown function 'filtr' (did you mean 'filter'?)"),
        ("math.gratest(1, 2)", 5, "unknown function 'gratest' (did you mean 'math.greatest'?)"),
        ("spel(vars.name)", 0, "unknown function 'spel' (did you mean 'spell'?)"),
        ("vars.name.length()", 10, "unknown function 'length' (did you mean 'size'?)"),
        ("trim(vars.name)", 0, "unknown function 'trim'; write VALUE.trim(…)"),
        ("vars.name.int()", 10, "unknown function 'int'; write int(VALUE)"),
        ("qqqq(1)", 0, "unknown function 'qqqq'"),
        ("vars.name.contains()", 10, "contains() is called with the wrong number of values"),
        ("size()", 0, "size() is called with the wrong number of values"),
    ],
)
def test_a_function_that_was_meant_is_named(source: str, offset: int, said: str) -> None:
    with pytest.raises(FaultsError) as error:
        NAMES.compile(source)
    assert [(fault.offset, fault.message) for fault in error.value.faults] == [(offset, said)]


ONE = {"timestamp": "'2026-05-03T10:00:00Z'", "duration": "'1h'", "has": "vars.order.dish"}  # what each function takes
TWO = dict.fromkeys(("contains", "startsWith", "endsWith", "matches", "indexOf", "lastIndexOf", "split"), "'a'") | {
    "charAt": "0", "substring": "1", "replace": "'a', 'b'",
}  # fmt: skip
OTHERS = ("get", "join", "or", "has")  # methods of other values than text
CALLS = [
    *(f"{word}({ONE.get(word, 'vars.free')})" for word in FUNCTIONS if word != "matches"),
    *(f"vars.name.{word}({TWO.get(word, '')})" for word in METHODS if not word.startswith(OTHERS)),
    *(f"now.{word}()" for word in METHODS if word.startswith("get")),
    *(f"vars.order.?a.{call}" for call in ("orValue(1)", "hasValue()")),
    *(f"vars.list.{word}({'x, true' if word != 'map' else 'x, x'})" for word in MACROS),
    *(f"math.{word}(1.5)" for word in MATH),
    "vars.list.join()", "matches('a', 'a')",
]  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_every_function_that_is_suggested_exists(call: str) -> None:
    assert NAMES.compile(call)


def test_what_other_languages_call_it_leads_to_what_exists() -> None:
    assert set(ELSEWHERE.values()) <= {*FUNCTIONS, *METHODS, *MACROS, *(f"math.{word}" for word in MATH)}
