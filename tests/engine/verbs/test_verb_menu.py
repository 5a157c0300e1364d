from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import Script, dial, flow, library, problems

SAY = "1 for sales, 2 for service."  # 1.62 s
MENU = f"""
- id: choice
  menu: {{say: "{SAY}", timeout: 4s, retries: 1}}
  outcomes:
    "1": [{{say: Sales.}}]
    "*": [{{say: Star.}}]
    no_input: [{{say: Nothing.}}]
    no_match: [{{say: Not that.}}]
- say: Key ${{steps.choice.key}}, ${{steps.choice.outcome}}.
"""


def keys(*acts: tuple[float, str]) -> Script:
    """Press these keys, each so many seconds after the one before (the first after the answer)."""

    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        for seconds, pressed in acts:
            await line.caller.waits(seconds)
            await line.caller.presses(pressed)

    return script


@pytest.mark.parametrize(
    ("acts", "heard"),
    [
        ([(3, "1")], [SAY, "Sales.", "Key 1, 1."]),
        ([(3, "*")], [SAY, "Star.", "Key *, *."]),
        ([(1, "1")], [f"{SAY}…", "Sales.", "Key 1, 1."]),  # the key interrupts the prompt
        ([], [SAY, SAY, "Nothing.", "Key , no_input."]),
        ([(3, "7")], [SAY, SAY, "Nothing.", "Key , no_input."]),
        ([(3, "7"), (3, "8")], [SAY, SAY, "Not that.", "Key 8, no_match."]),
        ([(3, "7"), (3, "1")], [SAY, SAY, "Sales.", "Key 1, 1."]),
        ([(3, "7"), (0.5, "1")], [SAY, f"{SAY}…", "Sales.", "Key 1, 1."]),
    ],
    ids=["a key", "star", "early", "nothing", "wrong then nothing", "twice wrong", "wrong then right", "early again"],
)
@virtual_time
async def test_a_choice_is_made_by_one_key(tmp_path: Path, acts: Any, heard: list[str]) -> None:
    over = await dial(library(tmp_path, flow(MENU)), keys(*acts))
    assert over.heard == heard


@virtual_time
async def test_the_time_for_a_key_counts_from_the_end_of_the_prompt(tmp_path: Path) -> None:
    over = await dial(library(tmp_path, flow(MENU)))
    heard = [entry.at for entry in over.line.log.find("heard")]
    assert heard[1] - heard[0] == pytest.approx(4 + 1.62)
    assert over.record.steps[0].ms == pytest.approx(2000 * (4 + 1.62), abs=1)


@virtual_time
async def test_the_rest_of_a_wrong_answer_is_no_answer_to_the_repeated_question(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.presses("77", every=0.0)
        await line.log.until("heard", text=SAY)
        await line.caller.waits(0.5)
        await line.caller.presses("1")

    over = await dial(library(tmp_path, flow("- say: Welcome.\n" + MENU)), script)
    assert over.heard == ["Welcome.", SAY, "Sales.", "Key 1, 1."]


@virtual_time
async def test_a_caller_who_knows_the_way_types_ahead(tmp_path: Path) -> None:
    steps = """
    - menu: {say: First.}
      outcomes: {"1": [{menu: {say: Second.}, outcomes: {"2": [{say: Here.}]}}]}
    """
    over = await dial(library(tmp_path, flow(steps)), keys((0.1, "12")))
    assert over.heard[-1] == "Here."
    assert over.ways == [("menu", "1"), ("menu", "2"), ("say", "done")]


@virtual_time
async def test_a_menu_without_retries_asks_once(tmp_path: Path) -> None:
    over = await dial(
        library(tmp_path, flow("- menu: {say: Now., retries: 0, timeout: 1s}\n  outcomes: {no_input: []}"))
    )
    assert over.heard == ["Now."]
    assert [said.text for said in over.record.transcript] == ["Now."]


@virtual_time
async def test_a_key_belongs_to_the_menu_while_it_runs(tmp_path: Path) -> None:
    house = library(
        tmp_path,
        flow(
            '- menu: {say: "0 for us."}\n  outcomes: {"0": [{say: Us.}]}',
            head="handlers: [{event: dtmf, digits: '0', goto: desk}]\nsections: {desk: [{say: Desk.}]}",
        ),
    )
    over = await dial(house, keys((0.8, "0")))
    assert over.heard == ["0 for us.", "Us."]


@virtual_time
async def test_the_caller_hangs_up_while_the_menu_waits(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("answered")
        await line.caller.waits(3)
        await line.caller.hangs_up()

    over = await dial(library(tmp_path, flow(MENU)), script)
    assert over.ways == [("menu", "cancelled")]


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        - menu: {say: Hi, digits: 2}
          outcomes: {no_input: [], no_match: []}
        - menu: {say: Hi}
          outcomes: {"12": [], no_input: []}
        - menu: {retries: 2}
        """,
    )
    found = [line for line in found if "error[" in line]
    assert found[0] == "3:29: error[E203]: 'digits': input should be less than or equal to 1"
    assert found[1].startswith("6:16: error[E303]: menu has no outcome '12'")
    assert found[2] == "7:5: error[E202]: menu needs 'say'"


def test_a_menu_that_may_end_badly_wants_an_answer(tmp_path: Path) -> None:
    found = problems(tmp_path, '- menu: {say: Hi}\n  outcomes: {"1": []}')
    assert len(found) == 1
    assert "menu may end with no_input, no_match" in found[0]


def test_a_menu_of_no_keys_is_told(tmp_path: Path) -> None:
    [found] = problems(tmp_path, "- menu: {say: Hi}\n  catch: []")
    assert found.startswith("3:5: warning[W407]: no outcome of this menu is a key")
    assert problems(tmp_path, '- menu: {say: Hi}\n  outcomes: {"#": []}\n  catch: []') == []
