"""SIP statuses and Q.850 causes become the outcomes that a flow branches on."""

import pytest

from asterisk.causes import describe, dial_status


@pytest.mark.parametrize(
    ("sip_code", "cause", "rang", "status"),
    [
        (486, 17, True, "busy"),
        (600, 17, False, "busy"),
        (603, 21, True, "declined"),
        (403, 21, False, "failed"),  # the network forbids it: nobody declined
        (404, 1, False, "unavailable"),
        (480, 19, False, "unavailable"),
        (480, 19, True, "no_answer"),
        (408, 102, True, "no_answer"),
        (408, 102, False, "unavailable"),
        (487, 127, True, "no_answer"),
        (503, 34, False, "unavailable"),
        (500, 38, False, "failed"),
        (488, 58, False, "failed"),
        (None, 17, True, "busy"),
        (None, 21, True, "declined"),
        (None, 20, False, "unavailable"),
        (None, 3, False, "unavailable"),
        (None, 38, True, "unavailable"),
        (None, 19, True, "no_answer"),
        (None, 18, False, "unavailable"),
        (None, 16, True, "failed"),
        (None, None, False, "failed"),
        (200, 17, True, "busy"),
    ],
)
def test_outcomes(sip_code: int | None, cause: int | None, rang: bool, status: str) -> None:
    assert dial_status(sip_code, cause, rang=rang) == status


def test_words() -> None:
    assert describe(17) == "busy"
    assert describe(99) == "cause 99"
