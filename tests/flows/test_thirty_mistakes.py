"""A flow in which thirty things are wrong: each is told in one run, at its line and column.

Below a line of the flow, a comment's caret points at the column where a problem is to be shown, with its code.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner

from engine.cli import main

RESOURCES = """
calendars: {office: {timezone: Europe/Berlin, open: {mon-fri: ["09:00-17:00"]}}}
destinations: {desk: "pjsip:desk"}
endpoints: {pos: {base_url: "https://pos.example"}}
mailboxes: {sales: {}}
dialling: {allow: ["+1415*"]}
"""
FLOW = """\
flow: acme/mistakes
vars:
  name: {type: string}
  count: {type: integer, default: 0}
  pin: {type: string, sensitive: true}
  round: {type: strng}
#               ^ E203
descripton: Many mistakes.
# ^ E201 is shown at the key: column 1
handlers:
  - {event: error, goto: sory}
#                        ^ E302
  - {event: hangup, steps: [{menu: {say: "Press 1.", timeout: 5s}, outcomes: {"1": []}, catch: []}]}
#                            ^ E308
  - {event: dtmf, digits: "0", goto: person}
steps:
  - id: greet
    say: Hello ${vars.nam}.
#                ^ E301
  - sya: Hello.
#   ^ E205
  - say: {text: Hello., interuptible: any}
#                       ^ E201
  - say: Hello.
    wehn: "true"
#   ^ E201
  - check_hours: offfice
#                ^ E302
    outcomes: {closed: [{goto: sorry}], holiday: [{goto: sorry}]}
  - menu: {say: "Press 1 or 2.", timeout: 5 seconds}
#                                         ^ E203
    outcomes:
      "1": [{goto: sales}]
#                  ^ E302
      no_input: [{goto: person}]
      no_match: [{goto: person}]
  - gather: {say: Your PIN please., digits: 4, sensitive: true}
#   ^ W404
    id: asked
    outcomes: {no_input: [{goto: sorry}], no_match: [{goto: sorry}], too_late: []}
#                                                                    ^ E303
  - gather: {say: Your number please., digits: 4}
#   ^ W404
    outcomes: {no_input: [{goto: sorry}], no_match: [{goto: sorry}]}
  - set: {cuont: 3}
#         ^ E301
  - set: {count: "${vars.name + 1}"}
#                             ^ E301
  - set: {count: many}
#                ^ E301
  - http: {endpoint: pso, path: /orders}
#                    ^ E302
    catch: []
  - http: {endpoint: pos, path: "/orders/${vars.pin}"}
#                                          ^ E203
    catch: []
  - say: Hello.
    when: vars.count
#         ^ E301
  - switch: {value: "${vars.name == 'Ada' ? 'yes' : 'no'}", cases: {"yes": [{say: "${vars.name}!"}], no: []}}
#                                                                                                    ^ E105
  - converse: {provider: opnai, exits: {person: {requires: [nmae]}}}
#                        ^ E302
#                                                           ^ E301
    outcomes: {person: [{goto: person}], silence: [], max_duration: [], provider_error: []}
  - converse:
      exits: {person: {}}
      tools: {look: {description: Looks., http: {endpoint: pos, path: /menu}, input: {dish: {type: text}}}}
#                                                                                                  ^ E305
  - transfer: {attempts: [{targets: [dsek]}]}
#                                    ^ E302
    outcomes: {failed: [{goto: sorry}]}
  - transfer: {attempts: [{targets: ["tel:+19005550100"]}]}
#                                    ^ E310
    outcomes: {failed: [{goto: sorry}]}
  - voicemail: {box: sale}
#                    ^ E302
    outcomes: {empty: []}
  - call: {flow: acme/other}
#                ^ E302
  - extract: {into: name, schema: {type: string}, from: nmae}
#                                                       ^ E301
    catch: []
  - wait: {}
#   ^ E202
  - play: {file: missing.wav}
#                ^ E306
sections:
  sorry:
    - say: We are sorry, ${steps.greeet.outcome}.
#                          ^ E301
    - hangup: {}
  person:
    - goto: nowhere
#           ^ E302
  person:
# ^ E103
    - hangup: {}
"""


def planted() -> list[tuple[int, int, str]]:
    """Line, column and code of each caret, which belongs to the last line of the flow above it."""
    found, line = [], 0
    for number, text in enumerate(FLOW.splitlines(), 1):
        if (caret := re.match(r"# *\^ ([EW][0-9]{3})", text)) is None:
            line = number
        else:
            at_key = "column 1" in text
            found.append((line, 1 if at_key else text.index("^") + 1, caret[1]))
    return sorted(found)


def test_all_mistakes_of_a_flow_are_told_at_once_at_their_places(tmp_path: Path) -> None:
    (tmp_path / "resources.yaml").write_text(RESOURCES)
    (tmp_path / "mistakes.flow.yaml").write_text(FLOW)
    result = CliRunner().invoke(main, ["check", str(tmp_path), "--format", "json"])
    assert result.exit_code == 1
    told = sorted((one["line"], one["column"], one["code"]) for one in json.loads(result.stdout))
    assert len(planted()) >= 30
    assert told == planted(), result.stdout
