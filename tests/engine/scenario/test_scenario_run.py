"""What a script can do and expect, each when it holds and when it does not."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from engine.scenario import ScenarioReader, run_scenario
from engine.verb import installed
from flows.language import Language
from tests.engine.scenario.folder import FLOW, HEAD, MOCKS, play, read, unmet, write

CHOICE = 'expect: {step: choice, outcome: "1"}'
TO_TALK = '- press: "1"\n'
ORDERS = TO_TALK + "- caller: A pizza.\n  converse: {says: Gladly., exit: ordered, data: pizza}\n"


def passes(folder: Path, script: str, **more: str) -> None:
    assert unmet(play(folder, script, **more)) == []


# ── What the caller and the AI do ─────────────────────────────────────────────────────────────────────────────────────


def test_keys_words_tools_and_exits_lead_through_a_flow(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        - expect: {step: choice}
        - press: 1
        - expect: {step: choice, outcome: "1"}
        - expect: {says: What may it be}
        - caller: What does a pizza cost?
          converse: {tools: {price: {dish: pizza}}, says: Nine dollars.}
        - expect: {http: {endpoint: pos, method: GET, path: "/price?of=pizza"}}
        - expect: {says: {contains: nine, matches: "^Nine dollars"}}
        - caller: I take one.
          converse: {exit: ordered, data: pizza}
        - expect: {step: talk, outcome: ordered}
        - expect: {vars: {order: pizza, count: 2}}
        - expect: {http: {path: /orders, json: {dish: pizza, count: 2}}}
        - expect: {hangup: {by: flow, result: ordered, outcome: completed}, elapsed: {max: 1m}}
        """,
    )


def test_the_ai_answers_though_the_test_does_not_say_what(tmp_path: Path) -> None:
    passes(
        tmp_path, TO_TALK + "- caller: Hello?\n- expect: {says: I see.}\n- caller: Hello?\n- expect: {says: I see.}\n"
    )


def test_the_caller_speaks_when_the_ai_has_finished(tmp_path: Path) -> None:
    result = play(tmp_path, TO_TALK + "- caller: A pizza.\n- caller: And a beer.\n")
    rows = [row.text for row in result.rows if '"' in row.text]
    assert rows[1:5] == [
        'caller hears "What may it be?"', 'caller says "A pizza."', 'caller hears "I see."',
        'caller says "And a beer."',
    ]  # fmt: skip


def test_silence_lets_time_pass(tmp_path: Path) -> None:
    result = play(tmp_path, "- silence: 2s\n")
    assert result.seconds == pytest.approx(2.0, abs=0.01)
    assert result.passed


def test_the_caller_hangs_up(tmp_path: Path) -> None:
    passes(tmp_path, "- silence: 1s\n- hangs_up: {}\n- expect: {hangup: {by: caller, outcome: caller_hung_up}}\n")


def test_the_ai_breaks_down_or_cannot_be_reached(tmp_path: Path) -> None:
    script = "- expect: {step: talk, outcome: provider_error}\n- expect: {transfer: {target: desk, status: answered}}\n"
    passes(tmp_path, TO_TALK + "- caller: Hello?\n  converse: {says: Hel, fails: true}\n" + script)
    passes(tmp_path, TO_TALK + script, head=HEAD + MOCKS + "  voice: unreachable\n")


def test_given_facts_reach_the_flow(tmp_path: Path) -> None:
    given = """
test: it
flow: shop
given:
  now: "2026-01-05T10:00:00+01:00"
  caller: {number: "+14155550177", name: Grace}
  vars: {count: 7}
  input: {greeting: Hi}
"""
    script = '- expect: {says: "Hi Grace. Press 1."}\n' + ORDERS + "- expect: {http: {json: {count: 7}}}\n"
    passes(tmp_path, script, head=given + MOCKS)
    closed = HEAD.replace("T10", "T19")
    passes(
        tmp_path, "- expect: {step: check_hours, outcome: closed}\n- expect: {hangup: {result: closed}}", head=closed
    )


def test_headers_and_number_reach_the_flow(tmp_path: Path) -> None:
    flow = "flow: shop\nsteps:\n  - say: \"${call.headers['X-Id']} for ${call.did}\"\n"
    head = 'test: it\nflow: shop\ngiven: {did: "+4930", headers: {X-Id: abc}}\n'
    passes(tmp_path, "- expect: {says: abc for +4930}\n", head=head, flow=flow)


def test_targets_answer_in_turn(tmp_path: Path) -> None:
    flow = """
flow: shop
steps:
  - repeat:
      max: 2
      steps:
        - transfer: {attempts: [{targets: [desk]}]}
          outcomes: {failed: []}
"""
    passes(
        tmp_path,
        """
        - expect: {transfer: {target: desk, status: busy}}
        - expect: {transfer: {target: "pjsip:desk", status: connected}}
        - expect: {hangup: {by: target}}
        """,
        head=HEAD + "mocks: {targets: {desk: [busy, {answer: 2s, hangs_up_after: 5s}]}}\n", flow=flow,
    )  # fmt: skip


def test_an_endpoint_answers_late_never_badly_or_a_number_of_times(tmp_path: Path) -> None:
    flow = "flow: shop\nsteps:\n" + "".join(
        f"  - id: ask{number}\n    http: {{endpoint: pos, path: /ask}}\n    catch: []\n" for number in range(5)
    )
    mocks = """
mocks:
  http:
    - {json: {}, delay: 2s, times: 1}
    - {timeout: true, times: 1}
    - {status: 404, times: 1}
    - {delay: 5s, times: 1}
    - {match: {path: /ask}}
"""
    passes(
        tmp_path,
        """
        - expect: {step: ask0, outcome: done, elapsed: {min: 2s, max: 2s}}
        - expect: {step: ask1, outcome: timeout, elapsed: {min: 5s, max: 5s}}
        - expect: {step: ask2, outcome: http_error}
        - expect: {step: ask3, outcome: timeout, elapsed: {min: 5s, max: 5s}}
        - expect: {step: ask4, outcome: done}
        """,
        head=HEAD + mocks, flow=flow,
    )  # fmt: skip


def test_two_minutes_of_ringing_take_milliseconds(tmp_path: Path) -> None:
    flow = FLOW.replace("timeout: 20s", "timeout: 120s")
    head = HEAD + "mocks: {targets: {desk: no_answer}}\n"
    result = play(tmp_path, "- expect: {step: handoff, outcome: no_answer, elapsed: {min: 2m}}\n", head=head, flow=flow)
    assert result.passed
    assert result.seconds > 120
    assert result.ms < 1000


# ── What does not hold ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("script", "expected", "actual"),
    [
        (
            "- expect: {step: choice, outcome: no_input}",
            "step: choice, outcome: no_input",
            "choice (shop.flow.yaml:10) ended with 1",
        ),
        ("- expect: {step: check_hours, elapsed: {min: 1s}}", "step: check_hours, elapsed: {min: 1 s}",
         "check_hours (shop.flow.yaml:7) took 0.0 s"),
        ("- expect: {step: book, within: 3s}", "step: book", "not within 3 s; running: talk (shop.flow.yaml:13)"),
        ("- hangs_up: {}\n- expect: {step: book}", "step: book",
         "the call was over after 0.4 s, hung up by caller"),
        ("- expect: {says: Goodbye, within: 4s}", "says: {contains: Goodbye}",
         "not within 4 s; running: talk (shop.flow.yaml:13)"),
        ("- hangs_up: {}\n- caller: Hi", 'the caller says "Hi"', "the call was over"),
        ("- hangs_up: {}\n- press: 5", "the caller presses 5", "the call was over"),
        ("- hangs_up: {}\n- hangs_up: {}", "the caller hangs up", "the call was over"),
        ("- hangs_up: {}\n- expect: {hangup: {by: flow}}", "hangup: {by: flow}", "the call ended with by: caller"),
        ("- hangs_up: {}\n- expect: {hangup: {result: ordered}}", "hangup: {result: ordered}",
         "the call ended with result: none"),
        ("- hangs_up: {}\n- expect: {hangup: {}, elapsed: {min: 2m}}", "elapsed: {min: 120 s}, hangup: {}",
         "the call took 0.4 s"),
        ("- hangs_up: {}\n- expect: {vars: {order: pizza}}", "vars: {order: pizza}", "the call ended with {order: }"),
        ("- hangs_up: {}\n- expect: {http: {endpoint: pos}}", "http: {endpoint: pos}",
         "the call was over after 0.4 s, hung up by caller"),
        ("- caller: Hi\n  converse: {exit: person}\n- expect: {transfer: {target: desk, status: busy}}",
         "transfer: {target: desk, status: busy}", "pjsip:desk: answered"),
        ("- caller: Hi\n  converse: {exit: ordered}", "the AI takes the exit ordered",
         'the flow refused it: {"error": "The exit ordered needs order first. '
         'Ask the caller, then give it in `data`."}'),
    ],
)  # fmt: skip
def test_what_does_not_happen_is_told(tmp_path: Path, script: str, expected: str, actual: str) -> None:
    result = play(tmp_path, TO_TALK + script)
    assert unmet(result) == [(expected, actual)]
    assert not result.passed


def test_a_key_waits_for_the_answer_and_says_when_none_comes(tmp_path: Path) -> None:
    flow = "flow: shop\nsteps:\n  - hangup: {sip_code: 486}\n"
    assert unmet(play(tmp_path, "- press: 1\n", flow=flow)) == [("the caller presses 1", "the call was over")]


def test_a_caller_to_whom_nobody_listens_gives_up(tmp_path: Path) -> None:
    head = HEAD + "mocks: {targets: {desk: no_answer}}\n"
    flow = FLOW.replace("timeout: 20s", "timeout: 10m")
    assert unmet(play(tmp_path, "- caller: Hello?\n", head=head, flow=flow)) == [
        ('the caller says "Hello?"', "nobody listened for 120 s")
    ]


def test_what_the_test_has_no_answer_for_fails_it(tmp_path: Path) -> None:
    result = play(tmp_path, ORDERS + "- expect: {hangup: {}}\n", head=HEAD)
    assert unmet(result) == [
        ("an answer in mocks.http", "POST pos /orders has none"),
        ("an answer in mocks.targets", "pjsip:desk was rung and has none"),
    ]


@pytest.mark.parametrize(
    ("never", "actual"),
    [
        ("{step: book}", "book (shop.flow.yaml:22) ran and ended with done"),
        ("{step: talk, outcome: ordered}", "talk (shop.flow.yaml:13) ran and ended with ordered"),
        ("{says: {matches: glad(ly)?}}", 'the caller was told "Gladly."'),
        ("{http: {method: POST, json: {dish: pizza}}}", "POST pos /orders"),
        ("{hangup_by: flow}", "hung up by flow"),
    ],
)
def test_what_may_never_happen_fails_when_it_does(tmp_path: Path, never: str, actual: str) -> None:
    script = ORDERS + "- expect: {hangup: {}}\n"
    assert [one for _, one in unmet(play(tmp_path, script, always=f"always: [{{never: {never}}}]\n"))] == [actual]


@pytest.mark.parametrize(
    "never",
    ["{step: handoff}", "{step: talk, outcome: person}", "{says: {matches: '^glad$'}}", "{hangup_by: engine}",
     "{http: {method: POST, json: {dish: pasta}}}", "{transfer: {target: desk}}"],
)  # fmt: skip
def test_what_may_never_happen_and_does_not_is_no_failure(tmp_path: Path, never: str) -> None:
    passes(tmp_path, ORDERS + "- expect: {hangup: {}}\n", always=f"always: [{{never: {never}}}]\n")


def test_whom_may_never_be_rung_fails_when_they_are(tmp_path: Path) -> None:
    script = "- expect: {step: handoff, outcome: connected}\n"
    for status, fails in (("", True), (", status: connected", True), (", status: busy", False)):
        rule = f"always: [{{never: {{transfer: {{target: desk{status}}}}}}}]\n"
        assert play(tmp_path, script, always=rule).passed is not fails


def test_order_counts_within_a_kind(tmp_path: Path) -> None:
    script = TO_TALK + "- expect: {says: What may it be}\n- expect: {says: Press 1, within: 5s}\n"
    assert [expected for expected, _ in unmet(play(tmp_path, script))] == ["says: {contains: Press 1}"]
    script = TO_TALK + "- expect: {step: talk}\n- expect: {step: choice, within: 5s}\n"
    assert [expected for expected, _ in unmet(play(tmp_path, script))] == ["step: choice"]
    passes(
        tmp_path,
        TO_TALK + "- expect: {step: talk}\n- expect: {says: Press 1}\n",
        flow=FLOW.replace("${input", "X ${input"),
    )


def test_tests_of_one_file_share_nothing(tmp_path: Path) -> None:
    text = HEAD + MOCKS + "script:\n  - press: 1\n  - expect: {vars: {count: 2}}\n"
    (one,) = read(tmp_path, text)
    assert [run_scenario(one).passed for _ in range(3)] == [True] * 3


# ── Corners ───────────────────────────────────────────────────────────────────────────────────────────────────────────

TO_PERSON = TO_TALK + "- caller: A person!\n  converse: {exit: person}\n- expect: {step: handoff, outcome: connected}\n"


def test_the_caller_talks_to_the_person_who_is_connected(tmp_path: Path) -> None:
    result = play(tmp_path, TO_PERSON + "- caller: Hello Bob.\n- expect: {hangup: {by: target}}\n")
    assert unmet(result) == []
    assert [row.text for row in result.rows if "Bob" in row.text] == ['caller says "Hello Bob."']


def test_a_person_is_no_ai(tmp_path: Path) -> None:
    script = TO_PERSON + "- caller: Hello Bob.\n  converse: {exit: ordered, data: pizza}\n"
    assert unmet(play(tmp_path, script)) == [("the AI answers", "pjsip:desk is connected")]


def test_a_target_that_cannot_be_rung_at_all(tmp_path: Path) -> None:
    script = "- expect: {transfer: {target: desk, status: impossible}}\n- expect: {says: Nobody is there}\n"
    passes(tmp_path, script, head=HEAD + "mocks: {targets: {desk: impossible}}\n")


def test_who_is_rung_is_known_before_they_answer(tmp_path: Path) -> None:
    script = "- expect: {transfer: {target: desk}}\n- hangs_up: {}\n"
    result = play(tmp_path, "- expect: {step: handoff}\n" + script)
    assert result.passed
    assert not [row for row in result.rows if row.text == "pjsip:desk answered"]


def test_what_the_ai_had_left_to_do_is_not_done_in_the_next_talk(tmp_path: Path) -> None:
    flow = """
flow: shop
steps:
  - id: first
    converse:
      tools: {look: {description: Looks., http: {endpoint: pos, path: /look, timeout: 20s}}}
      exits: {out: {}}
      max_duration: 8s
    outcomes: {max_duration: []}
  - id: second
    converse: {exits: {out: {}}}
"""
    passes(
        tmp_path,
        """
        - caller: Please look.
          converse: {tools: {look: {}}, exit: out}
        - expect: {step: first, outcome: max_duration}
        - caller: And now?
          converse: {says: "Nothing, sorry.", exit: out}
        - expect: {says: "Nothing, sorry."}
        - expect: {step: second, outcome: out}
        """,
        head=HEAD + "mocks: {http: [{delay: 15s, json: {}}]}\n", flow=flow,
    )  # fmt: skip


def test_of_a_body_a_part_is_enough_but_lists_are_whole(tmp_path: Path) -> None:
    flow = """
flow: shop
steps:
  - http: {endpoint: pos, method: POST, path: /a, json: {list: [{name: a, count: 1}, {name: b}], more: 1}}
"""
    for wanted, fits in (
        ("{list: [{name: a}, {name: b}]}", True),
        ("{more: 1}", True),
        ("{list: [{name: a}]}", False),
        ("{list: {name: a}}", False),
        ("{less: 1}", False),
        ("{list: [{name: b}, {name: a}]}", False),
    ):
        assert play(tmp_path, f"- expect: {{http: {{json: {wanted}}}}}\n", flow=flow).passed is fits


def test_steps_of_a_flow_that_another_calls_can_be_expected(tmp_path: Path) -> None:
    (tmp_path / "inner.flow.yaml").write_text("flow: inner\nsteps:\n  - {id: deep, say: Down here.}\n")
    flow = "flow: shop\nsteps:\n  - call: {flow: inner}\n  - say: Up again.\n"
    passes(tmp_path, "- expect: {step: deep, outcome: done}\n- expect: {says: Up again}\n", flow=flow)


def test_words_of_which_nothing_was_heard_were_not_said(tmp_path: Path) -> None:
    flow = 'flow: shop\nsteps:\n  - answer: {}\n  - {menu: {say: Press 1.}, outcomes: {"1": []}, catch: []}\n'
    rule = "always: [{never: {says: Press 1}}]\n"
    assert play(tmp_path, "- expect: {step: menu}\n" + TO_TALK, always=rule, flow=flow).passed
    assert not play(tmp_path, "- silence: 1s\n" + TO_TALK, always=rule, flow=flow).passed


def test_a_hand_off_that_a_key_ends_is_not_the_next_one(tmp_path: Path) -> None:
    flow = """
flow: shop
handlers: [{event: dtmf, digits: "0", goto: other}]
steps:
  - {id: first, transfer: {attempts: [{targets: [desk]}]}}
sections:
  other:
    - {id: second, transfer: {attempts: [{targets: [desk]}]}}
"""
    passes(
        tmp_path,
        """
        - expect: {transfer: {target: desk}}
        - silence: 1s
        - press: "0"
        - expect: {transfer: {target: desk, status: connected}}
        - expect: {step: first, outcome: cancelled}
        - expect: {step: second, outcome: connected}
        """,
        flow=flow,
    )


PAYS = """
flow: shop
vars: {order: {type: string}, count: {type: integer}}
steps:
  - id: paid
    wait_for: {event: webhook, name: payment, timeout: 30s}
    save: {amount: number}
    outcomes: {timeout: [{hangup: {result: unpaid}}]}
  - wait_for: {event: supervisor, name: agree}
    outcomes: {timeout: [{hangup: {result: refused}}]}
  - hangup: {result: "${string(steps.paid.amount)}"}
"""


def test_somebody_outside_tells_the_call_of_events(tmp_path: Path) -> None:
    script = """
        - expect: {step: paid}
        - silence: 5s
        - event: {name: payment, data: {amount: 9.5}}
        - expect: {step: paid, outcome: done, elapsed: {min: 5s, max: 5s}}
        - event: {name: agree, from: supervisor}
        - expect: {hangup: {result: "9.5"}}
    """
    passes(tmp_path, script, flow=PAYS)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("event: {name: payment, data: {sum: 1}}", "it was not taken: the event has no amount"),
        ("event: {name: payment}", "it was not taken: the event has no amount"),
    ],
)
def test_an_event_that_the_flow_cannot_use_fails_the_test(tmp_path: Path, line: str, told: str) -> None:
    (failure,) = play(tmp_path, f"- silence: 1s\n- {line}\n", flow=PAYS).failures
    assert (failure.expected, failure.actual) == ("the webhook tells of payment", told)


def test_an_event_after_the_call_fails_the_test(tmp_path: Path) -> None:
    (failure,) = play(tmp_path, "- silence: 1m\n- event: {name: payment}\n", flow=PAYS).failures
    assert failure.actual == "the call was over"


@pytest.mark.parametrize(
    ("event", "told"),
    [
        ("{name: paymnt}", "unknown webhook event 'paymnt' (did you mean 'payment'?)"),
        ("{name: payment, from: supervisor}", "unknown supervisor event 'payment' (has: agree)"),
        ("{name: payment, from: nobody}", "'nobody' is not one of 'webhook' or 'supervisor'"),
    ],
)
def test_events_that_no_step_waits_for_are_told(tmp_path: Path, event: str, told: str) -> None:
    path = write(tmp_path, f"{HEAD.strip()}\nscript: [{{event: {event}}}]\n", PAYS)
    found = ScenarioReader(Language(installed())).read(path).problems
    assert told in "\n".join(map(str, found))


COSTLY = """
flow: shop
limits: {cost: 0.50}
handlers: [{event: cost, goto: person}]
steps:
  - id: talk
    converse: {exits: {done_: {}}}
    outcomes: {silence: [], max_duration: [], provider_error: []}
  - say: It cost ${call.cost}.
  - hangup: {}
sections:
  person:
    - id: handoff
      transfer: {attempts: [{targets: [desk]}]}
      outcomes: {failed: []}
    - hangup: {}
"""


def test_a_call_that_costs_too_much(tmp_path: Path) -> None:
    passes(
        tmp_path,
        """
        - caller: Hello?
          converse: {says: Good day.}
        - costs: 0.30
        - caller: A pizza.
          converse: {says: Gladly.}
        - costs: 0.20
        - expect: {step: talk, outcome: cancelled}
        - expect: {step: handoff, outcome: connected}
        """,
        flow=COSTLY,
    )


def test_a_call_that_stays_cheap(tmp_path: Path) -> None:
    script = """
    - expect: {step: talk}
    - costs: 0.25
    - caller: That is all.
      converse: {exit: done_}
    - expect: {says: It cost 0.25.}
    """
    passes(tmp_path, script, flow=COSTLY)
    assert unmet(play(tmp_path, "- silence: 2m\n- costs: 1\n", flow=COSTLY)) == [
        ("the call costs 1 more", "the call was over")
    ]


@pytest.mark.parametrize("path", ["/today.wav", "/today.ulaw?v=1", "/today.alaw"])
@pytest.mark.parametrize(
    ("answers", "outcome", "missing"),
    [
        ("[{match: {endpoint: pos, path: '/today*'}}]", "done", []),
        ("[{match: {endpoint: pos}, status: 404}]", "http_error", []),
        ("[{match: {endpoint: pos}, timeout: true}]", "timeout", []),
        ("[]", "http_error", ["an answer in mocks.http"]),
    ],
)
def test_a_sound_of_an_endpoint_comes_from_the_test_and_never_from_the_network(
    tmp_path: Path, path: str, answers: str, outcome: str, missing: list[str]
) -> None:
    step = f"play: {{endpoint: pos, path: '{path}', loop: 3}}"
    flow = f"flow: shop\nsteps:\n  - {step}\n    catch: []\n  - hangup: {{}}\n"
    head = f"test: it\nflow: shop\nmocks: {{http: {answers}}}\n"
    result = play(tmp_path, f"- expect: {{step: play, outcome: {outcome}}}\n", head=head, flow=flow)
    assert [failure.expected for failure in result.failures] == missing
    assert (result.seconds >= 3.0) is (outcome != "http_error")


def test_messages_and_recordings_of_a_test_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither beside the flows nor in the storage of an engine that runs in the same folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    flow = "flow: shop\nsteps:\n  - record: start\n  - id: note\n    voicemail: sales\n  - hangup: {}\n"
    script = "- says: Please call me back.\n- expect: {step: note, outcome: done}\n"
    result = play(tmp_path, script, head="test: it\nflow: shop\n", flow=flow)
    assert result.passed
    assert result.record is not None
    kept = Path(result.record.steps[1].detail.rpartition(" in ")[2])
    assert kept.name.endswith("-test-call-2.wav")
    assert [path for path in tmp_path.rglob("*") if path.suffix == ".wav" or "kept" in path.name] == []
