from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems
from tests.engine.verbs.test_verb_menu import keys

SAY = "Your number, please."  # 1.2 s


def ask(**fields: Any) -> str:
    given = ", ".join(f"{name}: {value}" for name, value in {"say": f'"{SAY}"', **fields}.items())
    return flow(
        f"- id: ask\n  gather: {{{given}}}\n  outcomes: {{no_input: [], no_match: []}}\n"
        "- say: ${steps.ask.outcome} ${steps.ask.digits}."
    )


@pytest.mark.parametrize(
    ("fields", "acts", "heard"),
    [
        ({}, [(2, "123#")], "done 123."),
        ({"digits": 4}, [(2, "123456")], "done 1234."),  # so many end it
        ({}, [(2, "123")], "done 123."),  # a pause ends it
        ({"finish_key": '"*"'}, [(2, "12#3*")], "done 12#3."),
        ({"finish_key": '""', "digits": 3}, [(2, "1#*")], "done 1#*."),
        ({"retries": 0}, [], "no_input ."),
        ({"retries": 0}, [(2, "#")], "no_input ."),
        ({"least": 3, "retries": 0}, [(2, "12#")], "no_match 12."),
        ({"least": 3}, [(2, "12#"), (2, "345#")], "done 345."),
        ({"inter_digit": "1s"}, [(2, "1"), (0.9, "2"), (1.1, "3")], "done 12."),
        ({"timeout": "1s", "retries": 0}, [(2.1, "1#")], "done 1."),
        ({"timeout": "1s", "retries": 0}, [(2.3, "1#")], "no_input ."),
    ],
)
@virtual_time
async def test_keys_are_read_until_there_are_enough(tmp_path: Path, fields: Any, acts: Any, heard: str) -> None:
    over = await dial(library(tmp_path, ask(**fields)), keys(*acts))
    assert over.heard[-1] == heard


@virtual_time
async def test_the_first_key_interrupts_the_question(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, ask()), keys((0.5, "12#")))
    assert over.heard == [f"{SAY}…", "done 12."]


@virtual_time
async def test_what_was_typed_too_much_does_not_answer_the_next_question(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.presses("12#4", every=0.0)
        await line.log.until("heard", text=SAY)
        await line.caller.presses("345")

    over = await dial(
        library(tmp_path, ask(digits=3, least=3).replace("- id: ask", "- say: Welcome.\n  - id: ask")), script
    )
    assert over.heard == ["Welcome.", SAY, "done 345."]


@virtual_time
async def test_what_is_sensitive_is_not_on_record(tmp_path: Path) -> None:
    steps = ask(sensitive="true").replace("${steps.ask.digits}", "${mask(steps.ask.digits, 2)}")
    over = await dial(library(tmp_path, steps), keys((2, "411122#")))
    assert over.heard[-1] == "done ****22."
    assert "411122" not in over.record.model_dump_json()


@virtual_time
async def test_handlers_keep_quiet_while_keys_are_read(tmp_path: Path) -> None:
    text = ask().replace(
        "flow: test", "flow: test\nhandlers: [{event: dtmf, digits: '0', goto: desk}]\nsections: {desk: [{say: Desk.}]}"
    )
    over = await dial(library(tmp_path, text), keys((2, "010#")))
    assert over.heard[-1] == "done 010."


@virtual_time
async def test_the_caller_hangs_up_in_the_middle_of_a_number(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await keys((2, "12"))(line)
        await line.caller.hangs_up()

    over = await dial(library(tmp_path, ask()), script)
    assert over.ways == [("gather", "cancelled")]


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - gather: {say: Hi, digits: 3, least: 4}
        - gather: {say: Hi, finish_key: "5"}
        - gather: {say: Hi, input: voice}
        - gather: {say: Hi, digits: 65}
        """,
    )
    assert [line for line in found if "error[" in line] == [
        "3:34: error[E203]: 'least' (4) is more than 'digits' (3)",
        "4:35: error[E203]: '5' is not one of '#', '*' or ''",
        "5:30: error[E203]: 'voice' is not one of 'digits', 'speech' or 'any'",
        "6:31: error[E203]: 'digits': input should be less than or equal to 64",
    ]
