"""The messages that authors see: each situation, its place to the column, its words."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Lines = Callable[[str], list[str]]

# Steps in which » marks the place of the mistake (and is taken out), and what the check says of them.
MISTAKES = [
    # the five of the language's contract
    (
        "- converse:\n    »silense: 5s\n    exits: {a: {}}\n  outcomes: {provider_error: []}",
        "error[E201]: unknown key 'silense' (did you mean 'silence'?)",
    ),
    (
        "- converse: {exits: {ordered: {}, person: {}}}\n  outcomes:\n    »persn: [{hangup: {}}]",
        "error[E303]: converse has no exit 'persn' (has: max_duration, ordered, person, provider_error, silence)",
    ),
    (
        "- id: book\n"
        "  http: {endpoint: pos, path: /o}\n"
        "  save: {ref: string}\n"
        "- say: Your order number is ${spell(»steps.book.reff)}. See you soon!",
        "error[E301]: unknown variable 'steps.book.reff' (did you mean 'steps.book.ref'?)",
    ),
    (
        "- set: {name: \"${vars.round »+ 'a'}\"}",
        "error[E301]: found no matching overload for '_+_' applied to '(int, string)' (string(…) makes "
        "text of a number, int(…) a number of text)",
    ),
    (
        '- »transfer: {attempts: [{targets: ["pjsip:a"]}]}',
        "warning[W401]: transfer has no failure outcome; the flow's error handler will run",
    ),
    # the shape of steps and fields
    (
        "- »sayy: Hello",
        "error[E205]: unknown verb 'sayy' (did you mean 'say'?)",
    ),
    (
        "- »hangup",
        "error[E204]: a step is a mapping with one verb; write 'hangup: {}'",
    ),
    (
        "- »{id: a}",
        "error[E204]: this step has no verb",
    ),
    (
        "- say: Hi\n  »hangup: {}",
        "error[E204]: a step has one verb, and this one has 'say' already; start a new step with '- '",
    ),
    (
        "- say: Hi\n  »tiemout: 3s",
        "error[E201]: unknown key 'tiemout' (did you mean 'timeout'?)",
    ),
    (
        "- say: Hi\n  »loop: 3",
        "error[E201]: unknown key 'loop' beside 'say'; it belongs inside of 'say'",
    ),
    (
        "- say: {text: Hi, loop: »three}",
        "error[E203]: 'loop' must be a whole number",
    ),
    (
        "- »say: {loop: 3}",
        "error[E202]: say needs 'text'",
    ),
    (
        "- say: »5",
        "error[E203]: 5 must be a text; put it in quotes",
    ),
    (
        "- say: {text: Hi, interruptible: »dtfm}",
        "error[E203]: 'dtfm' is not one of 'none', 'dtmf', 'speech' or 'any' (did you mean 'dtmf'?)",
    ),
    (
        "- transfer: {attempts: [{targets: [a], »timeuot: 3s}]}\n  catch: []",
        "error[E201]: unknown key 'timeuot' (did you mean 'timeout'?)",
    ),
    (
        "- transfer: {attempts: [»{ring: serial}]}\n  catch: []",
        "error[E202]: transfer.attempts.0 needs 'targets'",
    ),
    (
        "- menu: {say: Hi, timeout: »5}",
        "error[E203]: 5 is not a duration; give it a unit, such as 5s or 2m",
    ),
    (
        "- menu: {say: Hi, timeout: »5 sec}",
        "error[E203]: '5 sec' is not a duration; give it a unit, such as 30s or 2m",
    ),
    (
        '- transfer: {caller_id: »"0711", attempts: [{targets: [a]}]}\n  catch: []',
        "error[E203]: '0711' is not a telephone number in E.164, such as \"+14155550100\"",
    ),
    (
        "- send_dtmf: »12x",
        "error[E203]: '12x' are not telephone keys; use 0-9, *, # and A-D",
    ),
    (
        "- say: Hi\n  retry: »{max: two}",
        "error[E203]: retry needs a count, such as {max: 2, delay: 500ms}; 10 at most",
    ),
    (
        "- say: Hi\n  retry: {max: 1, »dealy: 1s}",
        "error[E201]: unknown key 'dealy' (did you mean 'delay'?)",
    ),
    (
        "- say: Hi\n  disabled: »maybe",
        "error[E203]: 'disabled' must be true or false",
    ),
    (
        "- id: »a-b\n  say: Hi",
        "error[E203]: 'a-b' cannot be an id; use letters, digits and '_', not starting with a digit",
    ),
    (
        "- id: »'off'\n  say: Hi",
        "error[E105]: 'off' is a reserved word and cannot be an id",
    ),
    (
        "- {id: a, say: Hi}\n- {id: »a, say: Hi}",
        "error[E307]: id 'a' is taken already (line 9)",
    ),
    (
        "- say: Hi\n  »save: {a: string}",
        "error[E202]: 'save' needs an 'id', so that steps.<id>.… can name what is saved",
    ),
    (
        "- id: b\n  say: Hi\n  »save: {a: string}",
        "error[E203]: 'say' has nothing to save: 'save' names what comes from outside",
    ),
    (
        "- say: Hi\n  retry: »{max: true}",
        "error[E203]: retry needs a count, such as {max: 2, delay: 500ms}; 10 at most",
    ),
    (
        "- say: Hi\n  retry: »{max: 11}",
        "error[E203]: retry needs a count, such as {max: 2, delay: 500ms}; 10 at most",
    ),
    (
        "- say: Hi\n  note: »[a]",
        "error[E203]: 'note' is a text for people",
    ),
    (
        "- id: b\n  http: {endpoint: pos, path: /}\n  save: {a: »strng}",
        "error[E203]: 'strng' is not a type (did you mean 'string'?)",
    ),
    (
        "- say: Hi\n  outcomes: {»done: []}",
        "error[E303]: 'done' is not handled: say goes on with the next step",
    ),
    # names
    (
        "- goto: »persn",
        "error[E302]: unknown section 'persn' (did you mean 'person'?)",
    ),
    (
        "- call: {flow: »g}",
        "error[E302]: unknown flow 'g' (has: f)",
    ),
    (
        "- check_hours: »offce",
        "error[E302]: unknown calendar 'offce' (did you mean 'office'?)",
    ),
    (
        "- check_hours: »${vars.name}",
        "error[E203]: the name of a calendar is fixed; '${…}' cannot be used in it",
    ),
    (
        "- http: {endpoint: »poss, path: /}",
        "error[E302]: unknown endpoint 'poss' (did you mean 'pos'?)",
    ),
    (
        "- say: ${next_open('»ofice')}",
        "error[E302]: unknown calendar 'ofice' (did you mean 'office'?)",
    ),
    (
        "- converse: {exits: {a: {requires: [»ordre]}}}",
        "error[E301]: unknown variable 'ordre'",
    ),
    # expressions
    (
        "- say: Hi\n  when: »${vars.round > 1}",
        "error[E304]: this is an expression already; write it without '${…}': vars.round > 1",
    ),
    (
        "- say: Hi\n  when: »vars.round",
        "error[E301]: this must be boolean, but it is integer",
    ),
    (
        "- say: Hi\n  when: »vars.rnd > 1",
        "error[E301]: unknown variable 'vars.rnd' (did you mean 'vars.round'?)",
    ),
    (
        "- say: Hi\n  when: >-\n    vars.round > 1 &&\n    »vars.pric > 2.0",
        "error[E301]: unknown variable 'vars.pric' (did you mean 'vars.price'?)",
    ),
    (
        "- say: a ${vars.round} b ${»spel(vars.name)} c",
        "error[E301]: unknown function 'spel' (did you mean 'spell'?)",
    ),
    (
        "- say: |\n    Hello,\n    dear ${»vars.nme}!",
        "error[E301]: unknown variable 'vars.nme' (did you mean 'vars.name'?)",
    ),
    (
        '- say: "\\"Hi\\" ${»vars.nme}"',
        "error[E301]: unknown variable 'vars.nme' (did you mean 'vars.name'?)",
    ),
    (
        "- say: 'it''s ${»vars.nme}'",
        "error[E301]: unknown variable 'vars.nme' (did you mean 'vars.name'?)",
    ),
    (
        "- say: ${vars.price »* 2}",
        "error[E301]: found no matching overload for '_*_' applied to '(double, int)' (whole numbers "
        "and fractions do not mix: write 2.0, or double(…))",
    ),
    (
        "- say: ${vars.round »+}",
        "error[E304]: not an expression: mismatched input '<EOF>'",
    ),
    (
        "- say: Hi »${vars.name",
        "error[E304]: '${' is never closed by '}'",
    ),
    (
        "- say: Hi »${}",
        "error[E304]: '${}' holds no expression",
    ),
    (
        "- say: ${»vars.order.?dish}",
        "error[E301]: '.?' gives an optional; end with .orValue(…)",
    ),
    (
        "- say: ${»has(vars.name)}",
        "error[E301]: has() is for keys of an object; write 'vars.name != null'",
    ),
    (
        "- say: ${»steps.nope.x}",
        "error[E301]: unknown variable 'steps.nope.x'",
    ),
    (
        "- say: ${»vars}",
        "error[E301]: 'vars' alone is not a value; name one of its members (has: name, order, price, round)",
    ),
    (
        "- say: ${»spell(1, 2)}",
        "error[E301]: spell() is called with the wrong number of values (has: spell(string), "
        "spell(integer), spell(number))",
    ),
    (
        "- say: ${»[1].map(a, [1].map(b, [1].map(c, [1].map(d, 1))))}",
        "error[E304]: map, filter, all and exists may be nested 3 deep",
    ),
    (
        '- converse: {tools: {menu: {description: d, input: {dish: {type: string}}, path: "/m?q=${»input.dsh}"}}}',
        "error[E301]: unknown variable 'input.dsh' (did you mean 'input.dish'?)",
    ),
    (
        "- converse: {tools: {menu: {description: d, input: {dish: {type: »strin}}}}}",
        "error[E305]: not a valid JSON Schema: 'strin' is no type (did you mean 'string'?)",
    ),
    (
        "- converse: {tools: {menu: {description: d, input: {dish: »string}}}}",
        'error[E305]: not a valid JSON Schema: "string" is not of types "boolean", "object" (write {type: string})',
    ),
    (
        '- say: "${»' + "[" * 40 + "1" + "]" * 40 + '}"',
        "error[E304]: the expression is nested too deep: keep a part of it in a variable (set)",
    ),
    (
        "- converse: {tools: {menu: {description: d, input: {dish: {$ref: »'http://x.example/a'}}}}}",
        "error[E305]: 'http://x.example/a' lies outside of this schema; write it out under $defs",
    ),
    (
        "- converse: {prompt_file: »nope.md}",
        "error[E306]: file 'nope.md': not found",
    ),
    # files
    (
        "- play: »../../etc/passwd",
        "error[E306]: file '../../etc/passwd' lies outside of the flows' folder",
    ),
    (
        "- hangup: {}\n- »say: Bye",
        "warning[W402]: this step is never reached: 'hangup' in line 9 does not go on",
    ),
    # the flow as a whole
    (
        "- say: »no",
        "error[E105]: unquoted 'no' is a boolean to many YAML tools: write true or false, or quote it",
    ),
]


@pytest.mark.parametrize(("marked", "expected"), MISTAKES, ids=[text.strip()[:50] for text, _ in MISTAKES])
def test_a_mistake_is_told_at_its_place_in_these_words(steps: Lines, marked: str, expected: str) -> None:
    before = marked[: marked.index("»")]
    line, column = 9 + before.count("\n"), 3 + len(before) - (before.rfind("\n") + 1)
    assert steps(marked.replace("»", "")) == [f"f.flow.yaml:{line}:{column}: {expected}"]


def test_all_mistakes_of_all_files_are_told_at_once(problems: Callable[..., list[str]]) -> None:
    found = problems(
        "flow: a\nsteps:\n  - sey: x\n  - say: ${vars.x}\n  - goto: nowhere\n",
        files={"b.flow.yaml": "flow: b\nsteps:\n  - hangup: {reslt: x}\n", "routes.yaml": "routes: [{flow: c}]\n"},
    )
    assert [line.split(": ")[0] + line[line.index("[") : line.index("]") + 1] for line in found] == [
        "b.flow.yaml:3:14[E201]",
        "f.flow.yaml:3:5[E205]",
        "f.flow.yaml:4:12[E301]",
        "f.flow.yaml:5:11[E302]",
        "routes.yaml:1:17[E302]",
    ]


def test_mistakes_in_a_prompt_file_are_told_in_that_file(problems: Callable[..., list[str]]) -> None:
    found = problems(
        "flow: a\nsteps:\n  - converse: {prompt_file: p/order.md}\n    catch: []\n",
        files={"p/order.md": "You take orders.\n\nThe caller: ${caller.nmber}\n"},
    )
    assert found == ["p/order.md:3:15: error[E301]: unknown variable 'caller.nmber' (did you mean 'caller.number'?)"]


def test_a_bad_default_is_told_once_and_where_it_stands(problems: Callable[..., list[str]]) -> None:
    found = problems("flow: a\ndefaults: {say: {lop: 2}}\nsteps:\n  - say: Hello\n  - say: Bye\n")
    assert found == ["f.flow.yaml:2:18: error[E201]: unknown key 'lop' (did you mean 'loop'?)"]


def test_the_mistakes_inside_a_bad_step_are_told_too(steps: Lines) -> None:
    found = steps("- say: {txt: Hi}\n  outcomes: {interrupted: [{sey: x}]}")
    assert [line.split(":")[1:3] for line in found] == [["9", "11"], ["10", "16"], ["10", "31"]]
