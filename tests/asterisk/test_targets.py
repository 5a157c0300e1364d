"""Targets, caller ids and headers: what may become part of a dial string or an INVITE, and what may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from telephony import Options

from asterisk.facts import LineError
from asterisk.targets import Targets, invite_variables

HOUSE = Targets(trunk="carrier", teams="teams")


@pytest.mark.parametrize(
    ("target", "endpoint"),
    [
        ("pjsip:front-desk", "PJSIP/front-desk"),
        ("pjsip:1001", "PJSIP/1001"),
        ("pjsip:1001@pbx2", "PJSIP/1001@pbx2"),
        ("pjsip:*21@pbx2", "PJSIP/*21@pbx2"),
        ("pjsip:+14155550100@carrier-2", "PJSIP/+14155550100@carrier-2"),
        ("tel:+14155550100", "PJSIP/+14155550100@carrier"),
        ("tel:+1 (415) 555-0100", "PJSIP/+14155550100@carrier"),
        ("teams:+14155550100", "PJSIP/+14155550100@teams"),
        ("teams:+14155550100@contoso.example", "PJSIP/+14155550100@teams"),
        ("teams:reception", "PJSIP/reception@teams"),
        ("teams:ann.lee@contoso.example", "PJSIP/teams/sip:ann.lee@contoso.example;transport=tls"),
    ],
)
def test_targets(target: str, endpoint: str) -> None:
    assert HOUSE.endpoint(target) == endpoint


@pytest.mark.parametrize(
    "target",
    [
        "", "pjsip:", "pjsip", "sip:x", "PJSIP/x", "tel:", "tel:911", "tel:4155550100", "tel:+0155550100",
        "tel:+1415555010012345", "tel:+1415555&PJSIP/x", "tel:+14155550100@evil", "tel:+14155550100/x",
        "pjsip:a&PJSIP/b", "pjsip:a/b", "pjsip:a,b", "pjsip:a;b", "pjsip:a^b", "pjsip:${X}", "pjsip:a b", "pjsip:a\n",
        "pjsip:+14155550100", "pjsip:a@b@c", "pjsip:@b", "pjsip:a@", "pjsip:a@b/c", "pjsip:a@b:5060", "pjsip:-a",
        "pjsip:+1x@carrier", "teams:a@b;transport=udp", "teams:a@b/c", "teams:a@", "teams:a@b:x", "teams:a,b@c",
        "tel:+١٤١٥٥٥٥٠١٠٠", "pjsip:é",
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused(target: str) -> None:
    with pytest.raises(LineError):
        HOUSE.endpoint(target)


@given(st.text(), st.sampled_from(["pjsip:", "tel:", "teams:", "pjsip:1@", "teams:a@", ""]))
def test_nothing_breaks_out_of_a_dial_string(text: str, scheme: str) -> None:
    try:
        endpoint = HOUSE.endpoint(scheme + text)
    except LineError:
        return
    assert not set(endpoint) & set("&,^${}[]()<>\"'\\ \r\n\t\0")
    assert endpoint.isascii()
    assert endpoint.count("/") <= 2
    assert endpoint.removesuffix(";transport=tls").count(";") == 0


def test_without_a_trunk_a_number_needs_one() -> None:
    with pytest.raises(LineError, match="pjsip:\\+14155550100@TRUNK"):
        Targets().endpoint("tel:+14155550100")


def test_only_allowed_numbers_are_dialled() -> None:
    house = Targets(trunk="carrier", prefixes=("+1", "+44"))
    assert house.endpoint("tel:+442071838750") == "PJSIP/+442071838750@carrier"
    for target in ("tel:+8821234567", "pjsip:+8821234567@carrier", "teams:+8821234567"):
        with pytest.raises(LineError, match="may begin with"):
            house.endpoint(target)


def test_an_invite_shows_the_callers_own_number_by_default() -> None:
    assert invite_variables(Options(headers={"X-Case": "4711"}), "+1") == {"PJSIP_HEADER(add,X-Case)": "4711"}


def test_a_name_alone_goes_with_the_callers_number() -> None:
    variables = invite_variables(Options(caller_name="Ann Lee"), "+14155550100")
    assert variables == {"CONNECTEDLINE(num)": "+14155550100", "CONNECTEDLINE(name)": "Ann Lee"}


@pytest.mark.parametrize(
    "options",
    [
        Options(headers={"X-A": "1\r\nX-B: 2"}),
        Options(headers={"X-A": "1\n"}),
        Options(headers={"X-A": "\0"}),
        Options(headers={"X-A": "é" * 512}),
        Options(headers={"X A": "1"}),
        Options(headers={"X-A)": "1"}),
        Options(headers={"X-A:": "1"}),
        Options(headers={"": "1"}),
        Options(headers={"From": "x"}),
        Options(headers={"via": "x"}),
        Options(headers={"Content-Length": "0"}),
        Options(headers={"Proxy-Authorization": "x"}),
        Options(headers={f"X-{n}": "1" for n in range(21)}),
        Options(caller_id="+1;x"),
        Options(caller_id="ann"),
        Options(caller_id=""),
        Options(caller_name='Ann" <sip:x@y>'),
        Options(caller_name="A\r\nB"),
        Options(caller_name="A" * 81),
    ],
)
def test_what_cannot_go_into_an_invite_is_refused(options: Options) -> None:
    with pytest.raises(LineError):
        invite_variables(options, "+14155550100")
