from __future__ import annotations

from pathlib import Path

import pytest

from engine.virtual import VirtualLine, virtual_time
from tests.engine.verbs.phone import dial, flow, library, problems


@virtual_time
async def test_keys_are_sent_and_the_step_lasts_as_long_as_they_do(tmp_path: Path) -> None:
    head = 'vars: {extension: {type: string, default: "42"}}'
    over = await dial(library(tmp_path, flow('- send_dtmf: "${vars.extension}#"\n- say: Hello.', head=head)))
    log = [(entry.what, entry.text) for entry in over.line.log.find("answered", "sent_digits", "heard")]
    assert log == [("answered", ""), ("sent_digits", "42#"), ("heard", "Hello.")]
    assert over.record.steps[0].ms == 600


@pytest.mark.parametrize("digits", ["", "12 34", "1" * 65, "x"])
@virtual_time
async def test_what_no_telephone_can_send_is_an_error_that_does_not_repeat_it(tmp_path: Path, digits: str) -> None:
    head = f'vars: {{pin: {{type: string, default: "{digits}", sensitive: true}}}}'
    steps = '- send_dtmf: "${vars.pin}"\n  catch: [{stop: {}}]'
    over = await dial(library(tmp_path, flow(steps, head=head)))
    assert over.ways == [("send_dtmf", "error"), ("stop", "done")]
    assert over.line.log.find("sent_digits") == []
    assert over.record.steps[0].detail == "these digits cannot be sent: send_dtmf sends 1 to 64 of 0-9, *, # and A-D"


@virtual_time
async def test_a_caller_who_leaves_ends_it(tmp_path: Path) -> None:
    async def script(line: VirtualLine) -> None:
        await line.log.until("sent_digits")
        await line.caller.hangs_up()

    over = await dial(library(tmp_path, flow('- send_dtmf: "12"\n  catch: []\n- say: Never.')), script)
    assert over.ways == [("send_dtmf", "cancelled")]


def test_what_the_check_says(tmp_path: Path) -> None:
    found = problems(tmp_path, '- send_dtmf: "12w"\n- send_dtmf: 12\n', head="note: x")
    assert found == [
        "4:16: error[E203]: '12w' cannot be sent: send_dtmf sends 1 to 64 of 0-9, *, # and A-D",
        "5:16: error[E203]: 12 must be a text; put it in quotes",
    ]
