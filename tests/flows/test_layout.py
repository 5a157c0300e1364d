from __future__ import annotations

import re
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from written import Writer

from flows.layout import UnformattableError, layout
from flows.problems import Problem
from flows.reader import read

EXAMPLES = sorted((Path(__file__).parents[2] / "flows/examples").rglob("*.yaml"))


def laid(text: str) -> str:
    return layout("f.yaml", text.encode()).decode()


def shape(tree: Any) -> Any:
    """The tree with the types of its values, since 1 == 1.0 == True."""
    if isinstance(tree, dict):
        return [(key, shape(value)) for key, value in tree.items()]
    return [shape(value) for value in tree] if isinstance(tree, list) else (type(tree), tree)


def tree_of(text: str) -> Any:
    tree, problems = read("f.yaml", text.encode())
    assert not [problem for problem in problems if problem.code not in ("E103", "E105")], f"{problems}\n{text}"
    return shape(tree)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: {b: 1, c: [x, y]}", "a:\n  b: 1\n  c:\n    - x\n    - y\n"),
        ("steps:\n- answer:\n- say: Hi", "steps:\n  - answer:\n  - say: Hi\n"),
        ("steps:\n    -   id: x\n        say: Hi\n", "steps:\n  - id: x\n    say: Hi\n"),
        ("a: {}\nb: []\nc: { }\n", "a: {}\nb: []\nc: {}\n"),
        ("[[1, 2], [], [{a: b, c: d}]]", "- - 1\n  - 2\n- []\n- - a: b\n    c: d\n"),
        ('{a: \'1\', "b": "x\\ty", c: 0800}', 'a: \'1\'\n"b": "x\\ty"\nc: 0800\n'),
        ("a: &x {b: 1}\nc: *x\nd: [&y 1, *y]", "a: &x\n  b: 1\nc: *x\nd:\n  - &y 1\n  - *y\n"),
        ("a: &x :b\nc: &y:d", "a: &x :b\nc: &y :d\n"),
        ("- &x {a: 1, b: 2}\n- *x", "- &x\n  a: 1\n  b: 2\n- *x\n"),
        ("a: one\n  two\n\n  three", "a: one\n  two\n\n  three\n"),
        ('a: "one\n      two \\\n   three"', 'a: "one\n  two \\\n  three"\n'),
        ("a: |\n     x\n       y\n\n\n\nb: 1", "a: |\n  x\n    y\n\nb: 1\n"),
        ("a: |2\n     x\n    y", "a: |2-\n     x\n    y\n"),
        ("a: |+\n  x\n\n\nb: >-\n  y", "a: |+\n  x\n\n\nb: >-\n  y\n"),
        ("- |\n  x\n", "- |\n  x\n"),
        ("a:\r\n- b\r\n", "a:\n  - b\n"),
        ("\ufeffa: 1\n", "a: 1\n"),
        ("---\na: 1\n...\n", "a: 1\n"),
        ("\n\na: 1\n\n\n\nb: 2\n\n\n", "a: 1\n\nb: 2\n"),
        ("{? 'long\n  key' : 1, ? x : 2}", '"long key": 1\nx: 2\n'),
        ("", ""),
        ("# nothing\n", "# nothing\n"),
    ],
)
def test_block_style_and_nothing_else_changes(before: str, after: str) -> None:
    assert laid(before) == after
    assert laid(after) == after
    assert tree_of(before) == tree_of(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a: 1 # one\nb: 2\n", "a: 1  # one\nb: 2\n"),
        ("# head\n\n# more\na: 1\n# end", "# head\n\n# more\na: 1\n# end\n"),
        ("a:   # one\n    # two\n    b: 1", "a:  # one\n  # two\n  b: 1\n"),
        ("- {a: 1, b: 2}   # both\n- 1", "# both\n- a: 1\n  b: 2\n- 1\n"),
        ("x: 1\n\ny: {a: 1, b: 2}  # both\n", "x: 1\n\n# both\ny:\n  a: 1\n  b: 2\n"),
        ("y: {a: 1, # one\n    b: 2} # two\n", "# one\ny:\n  a: 1\n  b: 2  # two\n"),
        ("- # one\n  a: 1\n", "# one\n- a: 1\n"),
        ("a:\n  - b: 1\n    # of b\n  # of c\n  - c: 1\n", "a:\n  - b: 1\n    # of b\n  # of c\n  - c: 1\n"),
        ("a:\n    b: 1\n    # of b\nc: 1\n", "a:\n  b: 1\n  # of b\nc: 1\n"),
        ("a: | # why\n    # text\n  # comment\nb: 1", "a: |  # why\n  # text\n# comment\nb: 1\n"),
        ("a: one\n   two # why\n", "a: one\n  two  # why\n"),
        ("a: 'x # y' # z\nb: x#y\n", "a: 'x # y'  # z\nb: x#y\n"),
        ("a: {}# none\nb: [1]#one\n", "a: {}  # none\n#one\nb:\n  - 1\n"),
        ("a: { # none\n}\nb: 1", "a: {}  # none\nb: 1\n"),
        ("a: |+\n  x\n\n# c\n\nb: 1", "a: |+\n  x\n\n# c\n\nb: 1\n"),
    ],
)
def test_comments_stay_with_what_they_speak_of(before: str, after: str) -> None:
    assert laid(before) == after
    assert laid(after) == after
    assert tree_of(before) == tree_of(after)


@pytest.mark.parametrize("file", EXAMPLES, ids=[path.name for path in EXAMPLES])
def test_the_examples_say_the_same_afterwards(file: Path) -> None:
    before = file.read_text()
    after = laid(before)
    assert tree_of(after) == tree_of(before)
    assert laid(after) == after
    assert not re.search(r": [{\[](?![}\]])", re.sub(r"#.*|\".*\"", "", after))
    for comment in re.findall(r"# .*", before):
        assert after.count(comment) == 1


@pytest.mark.parametrize("seed", range(400))
def test_whatever_people_write_says_the_same_afterwards(seed: int) -> None:
    writer = Writer(Random(seed))
    before = writer.document()
    after = laid(before)
    assert tree_of(after) == tree_of(before)
    assert laid(after) == after, before
    assert sorted(comment for comment in writer.comments if comment in before) == sorted(
        comment for comment in writer.comments if after.count(comment)
    )


@pytest.mark.parametrize("seed", range(8))
def test_a_broken_example_is_laid_out_or_refused_and_loses_no_comment(seed: int) -> None:
    chance = Random(seed)
    whole = [file.read_text() for file in EXAMPLES]
    laid_out = 0
    for _ in range(100):
        text = list(chance.choice(whole))
        for _ in range(chance.randint(1, 4)):
            at, other = chance.randrange(len(text)), chance.randrange(len(text))
            match chance.randrange(3):
                case 0:
                    text[at] = chance.choice(" \n\t#-:{}[]'\"&*|>%!,a\r")
                case 1:
                    del text[at : at + chance.randint(1, 9)]
                case _:
                    text[at:at] = text[other : other + chance.randint(1, 60)]
        before = "".join(text)
        try:
            after = laid(before)
        except UnformattableError as error:
            if "would change" in str(error):
                raise
            continue
        laid_out += 1
        assert laid(after) == after
        assert after.count("#") == before.count("#")
    assert laid_out > 5


@given(st.text(st.sampled_from("ab:{}[],-#&*|>'\"\n  \t\\?!%1é"), max_size=60))
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_text_is_laid_out_or_refused_with_its_place(text: str) -> None:
    problems: list[Problem] = []
    try:
        after = laid(text)
    except UnformattableError as error:
        problems = error.problems
    assert bool(problems) == any(problem.code not in ("E103", "E105") for problem in read("f", text.encode())[1])
    assert problems or tree_of(after) == tree_of(text)


@pytest.mark.parametrize("text", ["a: [", "a: !tag x", "- " * 100, "--- a\n--- b", "a: b\x85c: d", "a: 'b\u2028c'"])
def test_what_the_language_cannot_read_is_refused(text: str) -> None:
    with pytest.raises(UnformattableError) as refused:
        laid(text)
    assert refused.value.problems[0].file == "f.yaml"


@pytest.mark.parametrize(
    ("before", "after"),
    [("a: [-]", 'a:\n  - "-"\n'), (" ---", '"---"\n'), ("a: {b: -}", 'a:\n  b: "-"\n'), ("[-, -a]", '- "-"\n- -a\n')],
)
def test_a_text_that_would_be_a_mark_gets_quotes(before: str, after: str) -> None:
    assert laid(before) == after


def test_wrong_values_are_no_reason_to_refuse() -> None:
    assert laid("stesp: [{sya: on}]") == "stesp:\n  - sya: on\n"


@pytest.mark.parametrize(
    "text",
    [
        "a:\n" + "  - b\n" * 60_000 + " # c\n" * 60_000,
        "a:\n" + "  - b\n # c\n" * 60_000,
        "a: {b: [1, {c: d}], # e\n k: 1}\n" + "# x\n\n" * 100_000,
        "a: |\n" + "  text # no comment\n" * 40_000,
    ],
    ids=["comments at the end", "comments between", "blank rows", "a text"],
)
def test_a_file_of_the_greatest_size_takes_seconds(text: str) -> None:
    started = time.perf_counter()
    laid(text)
    assert time.perf_counter() - started < 20  # 4 s at most when the machine is idle
