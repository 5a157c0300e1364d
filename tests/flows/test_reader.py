"""YAML: what plain words mean, where everything stands, and what a hostile file gets."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.reader import Map, Seq, Str, read


def tree(text: str) -> Any:
    found, problems = read("f", text.encode())
    assert problems == []
    return found


def told(data: bytes | str) -> list[str]:
    _, problems = read("f", data.encode() if isinstance(data, str) else data)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("0800123456", "0800123456"), ("+14155550100", "+14155550100"), ("12:30", "12:30"), ("1_000", "1_000"),
        ("0x1F", "0x1F"), ("0o17", "0o17"), (".5", ".5"), ("2026-12-24", "2026-12-24"), (".inf", ".inf"), ("1.", "1."),
        ("1e999", "1e999"), ("12345678901234567890", "12345678901234567890"), ("True", "True"), ("NULL", "NULL"),
        ("0", 0), ("-7", -7), ("1.5", 1.5), ("1e3", 1000.0), ("true", True), ("false", False), ("null", None),
        ("~", None), ("", None), ('"5"', "5"), ("'true'", "true"), ("'no'", "no"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_json_says(word: str, value: Any) -> None:
    found = tree(f"a: {word}\n")["a"]
    assert found == value
    assert isinstance(found, type(value))


def test_keys_are_always_strings() -> None:
    assert list(tree("{1: a, true: b, null: c, 1.50: d}")) == ["1", "true", "null", "1.50"]


def test_every_value_knows_its_place_and_path() -> None:
    found = tree("a:\n  - b: x\n  - {c: [1, é]}\n")
    assert isinstance(found, Map)
    items = found["a"]
    assert isinstance(items, Seq)
    assert (items.path, items[1].path, items[1]["c"].path) == ("a", "a/1", "a/1/c")
    assert [str(place) for place in items.value_at] == ["f:2:5", "f:3:5"]
    assert str(items[1].key_at["c"]) == "f:3:6"
    assert str(items[1]["c"][1].where) == "f:3:13"


@pytest.mark.parametrize(
    "text",
    [
        "a: say @ it\n",
        "a: 'it''s ''@''.'\n",
        'a: "\\"q\\" \\u00e9 \\x41 \\\\ @"\n',
        'a: "folded\n   here @"\n',
        'a: "escaped \\\n   break @"\n',
        "a: plain\n  folded @ too\n",
        "a: |\n  one\n\n  two @\n",
        "a: |2  # with a comment\n    one\n    two @\n",
        "a: >-\n  one\n  two @\n\n  three\n",
        "a: >+\n\n  one @\n\n",
        "{a: é @}",
        "a: 'line\n\n  another @'\n",
        "a: &x 'it''s @'\n",
        "a: &x |\n  one\n  two @\n",
        "a: &x # why\n  plain @\n",
        "a: |\r  one\r  two @\r",
        "a: |\r\n  one\r\n  two @\r\n",
        "a: 'one\u2028two\x85  @'\n",
        "# one\u2028# two\x85# three\na: x @\n",
    ],
)
def test_an_offset_in_a_string_leads_to_its_character_in_the_file(text: str) -> None:
    value = tree(text)["a"]
    assert isinstance(value, Str)
    place = value.at(value.index("@"))
    assert re.split(r"\r\n|\r|\n", text)[place.line - 1][place.column - 1] == "@"


@given(st.text(alphabet="ab é'\"\\:#\n{}@", min_size=1, max_size=40), st.sampled_from("'\""))
def test_every_visible_character_of_a_quoted_string_is_found(value: str, quote: str) -> None:
    value = " ".join(value.split())
    escaped = value.replace("'", "''") if quote == "'" else value.replace("\\", "\\\\").replace('"', '\\"')
    text = f"a: {quote}{escaped}{quote}\n"
    found = tree(text)["a"]
    assert found == value
    for offset, character in enumerate(value):
        if character not in " '\"\\":
            assert text[found.at(offset).column - 1] == character


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: [E103]: key 'a' stands twice (first in line 1)"),
        ("a: yes\n", "1:4: [E105]: unquoted 'yes' is a boolean to many YAML tools: write true or false, or quote it"),
        ("on: 1\n", "1:1: [E105]: unquoted 'on' is a boolean to many YAML tools: write true or false, or quote it"),
        ("a:\n\t- b\n", "2:1: [E102]: not valid YAML: a tab cannot indent YAML; use spaces"),
        (
            "s: {say: Hi ${x}, b}\n",
            "1:14: [E102]: not valid YAML: did not find expected ',' or '}'; inside {…} and […] put quotes around "
            "text that holds '${…}', commas or colons",
        ),
        ("a: {{x}}\n", "1:5: [E102]: a key must be a word, not a mapping or list; quote a value that starts with "
         "'{{' or '{'"),
        ("a: !!python/object x\n", "1:4: [E102]: tags are not used here; remove '!!python/object'"),
        ("a: !!str 5\n", "1:4: [E102]: tags are not used here; remove '!!str'"),
        ("a: &b {c: 1}\nd:\n  <<: *b\n", "3:3: [E102]: '<<' merges mappings in YAML 1.1 only: write the keys "
         "themselves, or repeat steps by a section"),
        ("a: !x [1]\n", "1:4: [E102]: tags are not used here; remove '!x'"),
        ("a: 1\n---\nb: 2\n", "2:1: [E102]: a file holds one document; remove the '---' or split the file"),
        ("a: *b\n", "1:4: [E102]: unknown alias '*b'"),
        ("a: &a [*a]\n", "1:8: [E104]: '*a' stands inside of what it repeats"),
        ("a: &a b\n*a : c\n", "2:1: [E102]: an alias cannot be a key"),
        (b"a: caf\xe9\n", "1:7: [E101]: the file is not UTF-8; save it as UTF-8"),
        (b"\xff\xfea\x00", "1:1: [E101]: the file is not UTF-8; save it as UTF-8"),
        ("a: \x01\n", "1:4: [E102]: not valid YAML: control characters are not allowed"),
        ("a: [\n\n", "1:5: [E102]: not valid YAML: did not find expected node content"),
        ('a: {"b"', "1:4: [E102]: not valid YAML: the '{' that begins here is never closed"),
        ('a: ["b" "c"]\n', "1:9: [E102]: not valid YAML: did not find expected ',' or ']'"),
        ("a: [1\n", "1:4: [E102]: not valid YAML: the '[' that begins here is never closed"),
        (b"# caf\xc3\xa9\r# \xe2\x80\xa8\r\na: \xe9", "3:4: [E101]: the file is not UTF-8; save it as UTF-8"),
        (b"\xef\xbb\xbfa: \xe9", "1:4: [E101]: the file is not UTF-8; save it as UTF-8"),
        ("# 1\u2028# 2\x85# 3\na:\n\t- b\n", "3:1: [E102]: not valid YAML: a tab cannot indent YAML; use spaces"),
        ("a: 'x\u2028y'\na: 2\n", "2:1: [E103]: key 'a' stands twice (first in line 1)"),
        ("a: 1\rb: 2\r\na: 3\n", "3:1: [E103]: key 'a' stands twice (first in line 1)"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_at_its_place(data: bytes | str, expected: str) -> None:
    place, message = expected.split(": ", 1)
    assert told(data) == [f"f:{place}: error{message}"]


LATER = "".join(f"  - say: line {number}\n" for number in range(4, 123))
QUOTE = "put quotes around text that holds ': '"
NEVER = "the quote that begins here is never closed"


@pytest.mark.parametrize(
    ("step", "place", "message"),
    [
        ('- say: "Hello', 10, NEVER),
        ("- say: 'Hello", 10, NEVER),
        ('- say: {text: "Hello, loop: 2}', 17, NEVER),
        ('- {"say: Hello}', 6, NEVER),
        ("- say: {text: Hello", 10, "the '{' that begins here is never closed"),
        ("- say: Note: hello", 14, f"mapping values are not allowed in this context; {QUOTE}"),
        ("- say: ${a ? 'x' : 'y'}", 20, f"mapping values are not allowed in this context; {QUOTE}"),
        ("- say: ${a} or ${b ? 'x' : 'y'}", 28, f"mapping values are not allowed in this context; {QUOTE}"),
        ("- say: it's\n      when: true", 11, f"mapping values are not allowed in this context; {QUOTE}, or indent the "
         "key like those above"),
        ("- say: 'it's there'", 14, "text behind the closing quote; a quote inside of the text is written ''"),
        ('- say: "a" b', 14, 'text behind the closing quote; a quote inside of the text is written \\"'),
        ('- say: "a\\q"', 12, "found unknown escape character"),
        ("- say: @home", 10, "found character that cannot start any token; put quotes around text that begins with "
         "'@'"),
    ],
)  # fmt: skip
def test_bad_yaml_is_told_where_it_begins(step: str, place: int, message: str) -> None:
    """Not at the end of the file, where the parser notices it."""
    closes = "{text: Hello" in step  # another line would be told instead
    line = 3 + step.count("\n")
    assert told(f"flow: a\nsteps:\n  {step}\n{'' if closes else LATER}") == [
        f"f:{line}:{place}: error[E102]: not valid YAML: {message}"
    ]


@pytest.mark.parametrize("later", ['"there"', '"${vars.name}"', '{text: "there"}'])
def test_a_quote_that_the_next_one_closes_is_told_where_it_begins(later: str) -> None:
    text = f'flow: a\nsteps:\n  - say: "Hello\n  - hangup: {{}}\n  - say: {later}\n{LATER}'
    message = "the quote that begins here ends before other text in line 5: is one missing between?"
    assert told(text) == [f"f:3:10: error[E102]: not valid YAML: {message}"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("[" * 20_000, "nested more than 64 deep"),
        ("{a: " * 20_000, "nested more than 64 deep"),
        ("- " * 20_000, "nested more than 64 deep"),
        ("[" + "1," * 150_000 + "1]", "more than 100,000 values"),
        ("a: &a x\nb: [" + "*a," * 200 + "]\n", "more than 100 aliases"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)),
            "more than 100,000 values",
        ),
        (b"a" * 10_000_000, "the file has more than 1,000,000 bytes"),
    ],
    ids=["lists", "mappings", "dashes", "values", "aliases", "bomb", "bytes"],
)
def test_a_hostile_file_is_refused_early(data: bytes | str, expected: str) -> None:
    started = time.process_time()
    lines = told(data)
    assert time.process_time() - started < 2.0
    assert [expected in line for line in lines] == [True]


@given(st.one_of(st.binary(max_size=80), st.text(alphabet="ab:-{}[]&*!|>'\"#\n\t ,$1", max_size=80).map(str.encode)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    _, problems = read("f", data)
    assert all(problem.line >= 1 and problem.column >= 1 for problem in problems)
