"""The first files of a new flow: they pass the check and their own test, and explain themselves."""

from __future__ import annotations

import shlex

from flows.reader import read

_FLOW = """\
# The flow @NAME@. A flow is a list of steps; each step has one verb, and says what happens when it ends in another
# way than well. Change what you like, then:
#   hookflash check @FOLDER@     are the files right?
#   hookflash graph @FILE@
flow: @FLOW@
version: 1
description: Greets the caller, talks, and hands over to a person.

# What happens on an event, whatever step the call is in.
handlers:
  - event: dtmf
    digits: "0"
    goto: person
  # Something failed, and nothing nearer answers for it: a person does.
  - event: error
    goto: person

steps:
  - answer: {}

  # The calendar is in resources.yaml.
  - check_hours: @NAMES@-hours
    outcomes:
      closed:
        - goto: closed
      holiday:
        - goto: closed

  # The AI talks with the caller until it takes one of the exits. Which voice it is, the engine's settings say.
  - id: talk
    converse:
      greeting: Good day! What can I do for you? Press zero at any time to reach a person.
      prompt: |
        You answer the telephone of a small company. Keep every answer to one or two sentences.
        Do not promise anything that you do not know.
      exits:
        person:
          description: The caller asks for a person, or is upset.
        finished:
          description: The caller has no more questions.
    outcomes:
      person:
        - goto: person
      silence:
        - goto: person

  - say: Thank you for calling. Goodbye!
  - hangup:
      result: finished

sections:
  closed:
    - say: We are closed. We open ${next_open('@NAMES@-hours')}.
    - hangup:
        result: closed

  person:
    - say: One moment, please. I am getting a person for you.
    - id: handoff
      transfer:
        caller_hears: ringback
        attempts:
          # Whom to ring is in resources.yaml. Add an attempt for whoever comes next.
          - targets:
              - @NAMES@-desk
            timeout: 30s
      outcomes:
        # Nobody was reached, for whatever reason.
        failed:
          - say: I am sorry, nobody can answer right now. Please call again.
    - hangup: {}
"""

_RESOURCES = """\
# What the flows of this folder name: hours, people, systems.
calendars:
  @NAMES@-hours:
    timezone: Europe/Berlin
    open:
      mon-fri:
        - "09:00-12:30"
        - "13:30-18:00"
    holidays:
      - rule: FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1
        name: New Year

destinations:
  # An endpoint of your Asterisk's PJSIP configuration.
  @NAMES@-desk: "pjsip:desk"
"""

_TEST = """\
# Tests of @NAME@: no telephone, no network, no model, and two minutes of ringing take milliseconds.
flow: @FLOW@
given:
  # A Tuesday morning: open.
  now: "2026-03-03T10:00:00+01:00"
always:
  - never:
      hangup_by: engine
tests:
  - test: who asks for a person gets one
    mocks:
      targets:
        @NAMES@-desk:
          answer: 6s
    script:
      - caller: May I talk to a person, please?
        converse:
          exit: person
      - expect:
          step: handoff
          outcome: connected

  - test: when nobody is there, the caller is told
    mocks:
      targets:
        @NAMES@-desk: no_answer
    script:
      - press: "0"
      - expect:
          says: nobody can answer right now

  - test: outside of hours the caller hears when we open
    given:
      now: "2026-03-03T20:00:00+01:00"
    script:
      - expect:
          says: We are closed
      - expect:
          hangup:
            by: flow
            result: closed
"""


def starter(name: str, folder: str) -> dict[str, str]:
    """File names and contents for a flow of this name (``bella/orders``) in this folder. Its resources carry the
    flow's name, so that several such folders can be loaded together."""
    last = name.rpartition("/")[2]
    words = {"@NAME@": name, "@NAMES@": name.replace("/", "-"), "@FLOW@": _word(name)}
    words |= {"@FOLDER@": _argument(folder), "@FILE@": _argument(f"{folder}/{last}.flow.yaml")}
    files = {f"{last}.flow.yaml": _FLOW, "resources.yaml": _RESOURCES, f"{last}.test.yaml": _TEST}
    for word, text in words.items():
        files = {file: content.replace(word, text) for file, content in files.items()}
    return files


def _word(name: str) -> str:
    """The name as YAML has it: in quotes where it would be a number or a boolean without them."""
    plain, problems = read("", f"name: {name}\n".encode())
    return name if plain == {"name": name} and not problems else f'"{name}"'


def _argument(path: str) -> str:
    """The path for a shell, in a comment of one line."""
    return shlex.quote(path) if path.isprintable() else "FOLDER"
