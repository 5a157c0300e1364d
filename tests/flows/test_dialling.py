from __future__ import annotations

import pytest

from flows.dialling import Dialling

RULES = Dialling(allow=("+1415*", "+4930123", "110"), deny=("+1415900*",))


@pytest.mark.parametrize("target", [
    "tel:+14155550100", "+14155550100", "pjsip:+14155550100@carrier", "tel:+4930123", "pjsip:110@trunk", "pjsip:desk",
    "teams:ann@acme.example", "pjsip:desk@pbx.example",
])  # fmt: skip
def test_what_may_be_dialled(target: str) -> None:
    assert RULES.refusal(target) == ""


@pytest.mark.parametrize(("target", "why"), [
    ("tel:+14159000000", "denies +1415900*"), ("tel:+4930124", "allows +1415*, +4930123, 110"),
    ("pjsip:+19005550100@carrier", "allows"), ("tel:+49301234", "allows"), ("sip:+1900555@x", "allows"),
])  # fmt: skip
def test_what_may_not(target: str, why: str) -> None:
    assert why in RULES.refusal(target)


def test_without_rules_every_number_may() -> None:
    assert Dialling().refusal("tel:+19005550100") == ""
