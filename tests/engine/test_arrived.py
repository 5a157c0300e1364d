"""What is known of a call when it arrives: what headers tell, and the country of a number."""

from __future__ import annotations

from typing import Any

import pytest

from engine.arrived import country_of, known_of, told_by
from engine.line import Facts
from flows.expressions import CONTEXT

NOTHING: dict[str, Any] = {"diversion": [], "uui": "", "attestation": "", "verstat": ""}


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, {}),
        ({"X-Plan": "gold"}, {}),
        (
            {"Diversion": '"Desk" <sip:+4930111@pbx.example;user=phone>;reason=no-answer, <tel:+4930222>;reason=busy'},
            {"diversion": ["+4930111", "+4930222"]},
        ),
        ({"diversion": "nonsense"}, {}),
        ({"User-to-User": "00433A313B;encoding=hex;purpose=isdn-uui"}, {"uui": "00433A313B"}),
        (
            {"P-Asserted-Identity": "<sip:+14155550100@carrier.example;user=phone;verstat=TN-Validation-Passed>"},
            {"verstat": "TN-Validation-Passed"},
        ),
        (
            {"P-Asserted-Identity": "<sip:+1415@t.example>;verstat=TN-Validation-Passed-B"},
            {"verstat": "TN-Validation-Passed", "attestation": "B"},
        ),
        ({"X-Twilio-VerStat": "TN-Validation-Failed-C"}, {"verstat": "TN-Validation-Failed", "attestation": "C"}),
        ({"X-Twilio-VerStat": "No-TN-Validation"}, {"verstat": "No-TN-Validation"}),
        ({"P-Attestation-Indicator": " a ", "X-Twilio-VerStat": "TN-Validation-Passed-C"},
         {"attestation": "A", "verstat": "TN-Validation-Passed"}),
        ({"P-Attestation-Indicator": "full"}, {}),
    ],
)  # fmt: skip
def test_what_headers_tell(headers: dict[str, str], told: dict[str, Any]) -> None:
    assert told_by(headers) == NOTHING | told


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+4930123456", "DE"), ("+12125550100", "US"), ("+14165550100", "CA"), ("+442071838750", "GB"),
        ("+80012345678", ""), ("", ""), ("101", ""), ("+", ""), ("+0001234", ""), ("sip:x", ""), ("+1" * 300, ""),
    ],
)  # fmt: skip
def test_the_country_of_a_number(number: str, country: str) -> None:
    assert country_of(number) == country


def test_every_name_that_the_check_knows_is_known() -> None:
    """A name that is promised and missing would be null, and every comparison with it silently wrong."""
    known = known_of(Facts(id="1", did="+1", caller="+4930123456"))
    promised = {name for name in CONTEXT if "." in name} - {"call.started", "call.cost"}
    assert {f"{group}.{name}" for group, names in known.items() for name in names} == promised
