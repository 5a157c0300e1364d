"""What a text model remembers of a conversation."""

import pytest

from providers.memory import GO_ON, MANNERS, RUNNING, Memory, Utterance
from providers.parts import Message, Said
from providers.voice import Session, ToolCall
from providers.voice import Utterance as Before

TEXT = "We have pizza. And we have pasta today."


def spoken(memory: Memory, text: str = TEXT, *, ms: float = 3900.0, whole: bool = True, places: bool = False) -> None:
    utterance = Utterance("i", text, made_ms=ms, whole=whole)
    if places:
        utterance.places = [Said(3000, 14), Said(3900, len(text))]
    memory.voice(utterance)
    memory.handed("i", ms)


def told(memory: Memory) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in memory.messages()[1:]]


def test_what_was_said_before_and_the_instructions() -> None:
    memory = Memory(Session("Be kind.", history=(Before("voice", "Hello."), Before("caller", "Hi."))))
    assert memory.messages() == [
        Message("system", f"{MANNERS}\n\nBe kind."), Message("assistant", "Hello."), Message("user", "Hi."),
    ]  # fmt: skip


def test_the_last_word_is_the_callers() -> None:
    assert told(Memory(Session())) == [("user", GO_ON)]
    memory = Memory(Session())
    spoken(memory)
    assert told(memory) == [("assistant", TEXT), ("user", GO_ON)]


@pytest.mark.parametrize(
    ("played", "heard"),
    [
        (3900, TEXT),
        (5000, TEXT),
        (1400, "We have pizza. …"),
        (1300, "We have …"),
        (700, "We have …"),
        (100, None),
        (0, None),
    ],
)
def test_only_what_was_heard_is_remembered(played: int, heard: str | None) -> None:
    memory = Memory(Session())
    memory.caller("What is there?")
    spoken(memory)
    assert memory.truncate("i", played)
    memory.caller("And salad?")
    if heard is None:
        assert told(memory) == [("user", "What is there? And salad?")]
    else:
        assert told(memory) == [("user", "What is there?"), ("assistant", heard), ("user", "And salad?")]


def test_a_synthesiser_that_tells_where_the_words_are_is_believed() -> None:
    memory = Memory(Session())
    spoken(memory, places=True)
    memory.truncate("i", 2900)
    assert told(memory)[0] == ("assistant", "We have …")
    memory.truncate("i", 3000)
    assert told(memory)[0] == ("assistant", "We have pizza. …")


def test_audio_that_is_still_being_made_is_measured_by_the_usual_speed() -> None:
    memory = Memory(Session())
    spoken(memory, "word " * 40, ms=2000, whole=False)
    memory.cut("i")
    assert told(memory)[0] == ("assistant", "word " * 6 + "…")


def test_more_than_was_handed_over_was_not_heard() -> None:
    memory = Memory(Session())
    memory.voice(Utterance("i", TEXT, made_ms=3900, whole=True))
    memory.handed("i", 1400)
    memory.truncate("i", 99_000)
    assert told(memory)[0] == ("assistant", "We have pizza. …")
    assert not memory.truncate("unknown", 5)


def test_tools_stand_behind_the_words_and_answer_when_all_have_come() -> None:
    memory = Memory(Session())
    spoken(memory, "One moment.")
    memory.caller("(meanwhile)")
    calls = [ToolCall("1", "price", {}), ToolCall("2", "stock", {})]
    memory.calls(calls, memory._utterances["i"])
    assert not memory.result("2", "[7]", respond=True)
    assert memory.messages()[1:] == [
        Message("assistant", "One moment.", calls=tuple(calls)), Message("tool", RUNNING, call="1"),
        Message("tool", "[7]", call="2"), Message("user", "(meanwhile)"),
    ]  # fmt: skip
    assert memory.result("1", "[3]", respond=True)
    assert not memory.result("1", "[4]", respond=True), "once more"
    assert not memory.result("9", "[4]", respond=True), "nobody asked"
    assert ("tool", "[3]") in told(memory)


def test_a_result_that_wants_no_answer_gets_none() -> None:
    memory = Memory(Session())
    memory.calls([ToolCall("1", "finish", {}), ToolCall("2", "stock", {})], None)
    assert not memory.result("1", "{}", respond=False)
    assert not memory.result("2", "{}", respond=True)
