"""Which numbers may be dialled: judged is what the line will dial, and what cannot be judged is refused."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asterisk.facts import LineError
from asterisk.targets import Targets
from flows.dialling import Dialling
from flows.targets import mistake_in, read_target

RULES = Dialling(allow=("+1415*", "+4930123", "110", "9.1415*", "*72"), deny=("+1415900*",))
HOUSE = Targets(trunk="carrier", teams="teams")


@pytest.mark.parametrize("target", [
    "tel:+14155550100", "+14155550100", "pjsip:+14155550100@carrier", "tel:+4930123", "pjsip:110@trunk", "pjsip:desk",
    "teams:ann@acme.example", "pjsip:desk@pbx.example", "tel:+1 (415) 555-0100", "teams:+14155550100@acme.example",
    "pjsip:9.14155550100@trunk", "pjsip:*72@trunk", "pjsip:room-101@pbx", "pjsip:101", "teams:e1234567@acme.example",
])  # fmt: skip
def test_what_may_be_dialled(target: str) -> None:
    assert RULES.refusal(target) == ""


@pytest.mark.parametrize(("target", "why"), [
    ("tel:+14159000000", "denies +1415900*"), ("tel:+4930124", "allows +1415*, +4930123, 110"),
    ("pjsip:+19005550100@carrier", "allows"), ("tel:+49301234", "allows"), ("sip:+1900555@x", "allows"),
    ("tel:+1 415 900 0000", "+14159000000 may not be dialled: resources.yaml denies +1415900*"),
    ("tel:+1-415-900-0000", "denies"), ("tel:(+1)4159000000", "denies"), ("tel:+1.415.900.0000", "denies"),
    ("teams:+14159000000", "denies"), ("teams:+14159000000@acme.example", "denies"),
    ("teams:19005550100", "cannot be judged"), ("pjsip:*14159000000@trunk", "cannot be judged"),
    ("pjsip:9.19005551234@trunk", "cannot be judged"), ("pjsip:0019005551234@trunk", "cannot be judged"),
    ("pjsip:12@trunk", "cannot be judged"), ("pjsip:x19005551234@trunk", "cannot be judged"),
    ("pjsip:*721@trunk", "cannot be judged"), ("local:19005551234@x", "cannot be judged"), ("tel:0900", "judged"),
])  # fmt: skip
def test_what_may_not(target: str, why: str) -> None:
    assert why in RULES.refusal(target)
    assert "may not be dialled" in RULES.refusal(target)


def test_without_rules_every_number_may() -> None:
    assert Dialling().refusal("tel:+19005550100") == ""
    assert Dialling().refusal("pjsip:9.19005550100@trunk") == ""


@pytest.mark.parametrize("target", ["pjsip:19005550100@trunk", "pjsip:*19005550100@trunk", "pjsip:4711@pbx"])
def test_a_rule_that_only_denies_refuses_what_it_cannot_judge(target: str) -> None:
    assert "cannot be judged" in Dialling(deny=("+1900*",)).refusal(target)
    assert Dialling(allow=("*", target[6:].partition("@")[0]), deny=("+1900*",)).refusal(target) == ""
    assert Dialling(deny=("+1900*",)).refusal("tel:+14155550100") == ""


# ── What is judged is what the line dials ─────────────────────────────────────────────────────────────────────────────

number = st.tuples(
    st.sampled_from(["+1900", "+1415", "1900", "001900", "*1900", "9.1900", "x1900", "(+1)900", "+1 (900)", "٣"]),
    st.lists(st.sampled_from([*"0123456789", " ", ".", "-", "(", ")", "*", "&", "/", "@", "+", "a"]), max_size=12).map(
        "".join
    ),
).map("".join)
spelling = st.one_of(
    st.tuples(
        st.sampled_from(["tel:", "pjsip:", "teams:", "TEL:", "sip:", "local:", ""]),
        st.one_of(number, st.text("abz0129+*._-@:; \n", max_size=12)),
        st.sampled_from(["", "", "@trunk", "@acme.example", "@acme.example:5060", "@", "@-"]),
    ).map("".join),
    st.text(max_size=12),
)


def asked_for(endpoint: str) -> str:
    """The user in a dial string, whom the other side is asked for; "" when an endpoint is rung itself."""
    if ";transport=tls" in endpoint:
        return endpoint.partition("/sip:")[2].partition("@")[0]
    return endpoint.removeprefix("PJSIP/").partition("@")[0] if "@" in endpoint else ""


@settings(max_examples=600, deadline=None)
@given(target=spelling)
@example(target="tel:+1 900 555 1234")
@example(target="teams:+19005551234@acme.example")
def test_the_language_reads_targets_as_the_line_dials_them(target: str) -> None:
    try:
        endpoint = HOUSE.endpoint(target)
    except LineError:
        assert mistake_in(target) != ""
        return
    assert mistake_in(target) == ""
    assert read_target(target).user == asked_for(endpoint)


@settings(max_examples=600, deadline=None)
@given(target=spelling)
@example(target="tel:+1 900 555 1234")
@example(target="pjsip:9.19005551234@trunk")
def test_no_spelling_gets_a_number_past_the_rules(target: str) -> None:
    rules = Dialling(allow=("+1415*",), deny=("+1900*",))
    try:
        endpoint = HOUSE.endpoint(target)
    except LineError:
        return
    if rules.refusal(target):
        return
    user = asked_for(endpoint)
    digits = sum(character.isdigit() for character in user)
    is_name = any(character.isalpha() for character in user) and (digits <= 6 or "teams" in target)
    assert user.startswith("+1415") or not digits or is_name, endpoint
