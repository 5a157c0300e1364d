"""Checking is done while an author types: it must not be felt."""

from __future__ import annotations

import time
from collections.abc import Callable

from flows.language import Loaded

SECTION = """  s{n}:
    - id: talk{n}
      converse:
        greeting: Hello ${{caller.name}}, this is number ${{string(vars.round)}}.
        prompt: |
          You take orders for ${{vars.name}}.
          Be brief, ${{call.id}}.
        exits: {{ordered: {{description: It is ordered.}}, person: {{description: Wants a person.}}}}
      outcomes:
        ordered: [{{goto: s{next}}}]
    - id: book{n}
      http: {{endpoint: pos, path: "/orders/${{vars.name}}", json: "${{vars.order}}"}}
      save: {{ref: string}}
      retry: {{max: 2, delay: 500ms}}
    - say: Your number is ${{spell(steps.book{n}.ref)}}.
      when: vars.round < 3 && steps.talk{n}.outcome == 'ordered'
    - set: {{round: "${{vars.round + 1}}"}}
    - hangup: {{}}
"""
HEAD = """flow: big
vars: {round: {type: integer}, name: {type: string}, order: {type: object}}
handlers: [{event: error, goto: s0}]
steps: [{goto: s0}]
sections:
"""


def test_two_thousand_lines_are_checked_at_once(load: Callable[..., Loaded]) -> None:
    """About 0.15 s on one core; the bound leaves room for a busy machine."""
    count = 112
    text = HEAD + "".join(SECTION.format(n=n, next=(n + 1) % count) for n in range(count))
    assert text.count("\n") >= 1990
    started = time.process_time()
    loaded = load(text)
    assert time.process_time() - started < 2.0
    assert loaded.problems == []
    assert loaded.library is not None
