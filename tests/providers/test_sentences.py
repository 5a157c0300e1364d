"""Sentences out of a text that comes in pieces."""

import random

import pytest

from providers.sentences import LONGEST, Sentences
from providers.sentences import pieces as of_whole


def cut(text: str, *, size: int | None = None) -> list[str]:
    sentences, out = Sentences(), []
    for start in range(0, len(text), size or len(text)):
        out += sentences.feed(text[start : start + (size or len(text))])
    return [piece for piece in (*out, sentences.rest()) if piece]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello. How are you?", ["Hello. ", "How are you?"]),
        ("Wait! Really?! Yes.", ["Wait! ", "Really?! ", "Yes."]),
        ("It is 3.50 dollars. Fine?", ["It is 3.50 dollars. ", "Fine?"]),
        ("Dr. Brown and Mrs. Hill are in. Whom?", ["Dr. Brown and Mrs. Hill are in. ", "Whom?"]),
        ("At 5 p.m. we close. Bye.", ["At 5 p.m. we close. ", "Bye."]),
        ("Am 1. Mai ist zu. Nr. 5 ist offen.", ["Am 1. Mai ist zu. ", "Nr. 5 ist offen."]),
        ("Ask J. Smith. He knows.", ["Ask J. Smith. ", "He knows."]),
        ("Bring fruit, e.g. Apples. Thanks.", ["Bring fruit, e.g. Apples. ", "Thanks."]),
        ('He said "no." Then he left.', ['He said "no." ', "Then he left."]),
        ("Well… Maybe. Or... not.", ["Well… ", "Maybe. ", "Or... not."]),
        ("好的。请稍等！", ["好的。", "请稍等！"]),
        ("First line\nSecond line", ["First line\n", "Second line"]),
        ("We open in 2027. Until then call us.", ["We open in 2027. ", "Until then call us."]),
    ],
)
def test_where_sentences_end(text: str, pieces: list[str]) -> None:
    assert cut(text) == of_whole(text) == pieces
    assert cut(text, size=1) == pieces, "however it comes"


def test_it_is_cut_as_soon_as_it_is_known_and_not_before() -> None:
    sentences = Sentences()
    assert sentences.feed("One moment.") == []
    assert sentences.feed(" ") == [], "'One moment. please' would go on"
    assert sentences.feed("I") == ["One moment. "]
    assert sentences.rest() == "I"
    assert sentences.rest() == ""


def test_a_text_without_an_end_is_cut_at_a_space() -> None:
    text = "word " * 200
    pieces = cut(text)
    assert "".join(pieces) == text
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert all(piece.endswith("word ") for piece in pieces)


def test_nothing_is_lost_or_added() -> None:
    chance = random.Random(7)
    for _ in range(500):
        text = "".join(chance.choice("aB1. .!?\n\"')…。 Dr. ") for _ in range(chance.randrange(900)))
        assert "".join(cut(text, size=chance.randrange(1, 30))) == text
