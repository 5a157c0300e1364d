"""What a caller of a test says reaches a `gather` by speech."""

from __future__ import annotations

from pathlib import Path

from tests.engine.scenario.folder import HEAD, play, unmet

FLOW = """
flow: shop
steps:
  - id: who
    gather: {say: Whom do you want?, input: any}
    outcomes:
      no_input: [{say: I hear nothing.}, {hangup: {result: silent}}]
      no_match: [{hangup: {result: unclear}}]
      provider_error: [{hangup: {result: deaf}}]
  - say: You want ${default(steps.who.text, steps.who.digits)}.
  - id: why
    gather: {say: And why?, input: speech, timeout: 3s}
    catch: []
  - hangup: {result: "${default(steps.why.text, 'no reason')}"}
"""


def test_each_line_answers_one_question(tmp_path: Path) -> None:
    result = play(
        tmp_path,
        """
        - caller: Anna
        - expect: {step: who, outcome: done}
        - expect: {says: You want Anna}
        - caller: A question about an invoice
        - expect: {hangup: {result: A question about an invoice}}
        """,
        HEAD, flow=FLOW,
    )  # fmt: skip
    assert unmet(result) == []
    said = [row.text for row in result.rows if row.text.startswith("caller ") and '"' in row.text]
    assert said[:3] == ['caller hears "Whom do you want?"', 'caller says "Anna"', 'caller hears "You want Anna."']


def test_keys_and_silence_answer_it_too(tmp_path: Path) -> None:
    script = '- expect: {step: who}\n- press: "42#"\n- expect: {says: You want 42}\n- silence: 20s\n'
    assert unmet(play(tmp_path, script + "- expect: {hangup: {result: no reason}}", HEAD, flow=FLOW)) == []
    assert unmet(play(tmp_path, "- expect: {says: hear nothing}", HEAD, flow=FLOW)) == []


def test_somebody_may_talk_over_the_question(tmp_path: Path) -> None:
    script = "- says: Anna\n- expect: {says: You want Anna}\n"
    assert unmet(play(tmp_path, script, HEAD, flow=FLOW)) == []


def test_without_the_ai_nothing_is_understood(tmp_path: Path) -> None:
    script = "- expect: {step: who, outcome: provider_error}\n- expect: {hangup: {result: deaf}}\n"
    assert unmet(play(tmp_path, script, HEAD + "mocks: {voice: unreachable}\n", flow=FLOW)) == []


def test_no_ai_answers_where_words_are_written_down(tmp_path: Path) -> None:
    script = "- caller: Anna\n  converse: {says: Hello}\n"
    assert unmet(play(tmp_path, script, HEAD, flow=FLOW)) == [
        ("the AI answers", "a step that writes down speech listens, not the AI")
    ]


def test_keys_alone_are_no_ears(tmp_path: Path) -> None:
    flow = "flow: shop\nsteps:\n  - gather: {say: Your number?, timeout: 200s}\n    catch: []\n"
    assert unmet(play(tmp_path, "- caller: Anna\n", HEAD, flow=flow)) == [
        ('the caller says "Anna"', "nobody listened for 120 s")
    ]
