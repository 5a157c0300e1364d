"""Why a call ended or was refused: SIP statuses and Q.850 causes, to words and to the outcome of a hand-off.

A SIP status is what the far side said; a Q.850 cause is what Asterisk made of it (and all there is for other
technologies). So the status decides where there is one. Sources: RFC 3261 section 21, RFC 3398 section 7.2, Q.850.
"""

from __future__ import annotations

from asterisk.facts import DialStatus

NORMAL_CLEARING = 16
NO_ANSWER = 19
NETWORK_OUT_OF_ORDER = 38

_BY_SIP: dict[int, DialStatus] = {
    486: "busy", 600: "busy",
    603: "declined", 607: "declined", 608: "declined",
    404: "unavailable", 410: "unavailable", 484: "unavailable", 502: "unavailable", 503: "unavailable",
    504: "unavailable", 604: "unavailable",
}  # fmt: skip

# What a phone says after it rang for a while, and a network when there is no phone: only the ringing tells them apart.
_NOBODY_CAME = {408, 480, 487}

_BY_CAUSE: dict[int, DialStatus] = {
    17: "busy",
    18: "no_answer", 19: "no_answer",
    21: "declined",
    1: "unavailable", 2: "unavailable", 3: "unavailable", 20: "unavailable", 22: "unavailable", 27: "unavailable",
    28: "unavailable", 34: "unavailable", 38: "unavailable", 41: "unavailable", 42: "unavailable",
}  # fmt: skip

_TEXT = {
    0: "no cause given", 1: "unassigned number", 2: "no route to the transit network", 3: "no route to the destination",
    16: "normal clearing", 17: "busy", 18: "no user responding", 19: "no answer", 20: "subscriber absent",
    21: "call rejected", 22: "number changed", 26: "answered elsewhere", 27: "destination out of order",
    28: "invalid number format", 31: "normal, unspecified", 34: "no circuit available", 38: "network out of order",
    41: "temporary failure", 42: "congestion", 44: "requested circuit not available", 58: "bearer not available",
    88: "incompatible destination", 102: "timer expired", 127: "interworking",
}  # fmt: skip


def dial_status(sip_code: int | None, cause: int | None, *, rang: bool) -> DialStatus:
    """The outcome of a leg that ended without an answer. `rang`: the far side rang or played (180, 183)."""
    if sip_code in _NOBODY_CAME:
        return "no_answer" if rang else "unavailable"
    if sip_code is not None and sip_code >= 300:
        return _BY_SIP.get(sip_code, "failed")
    status = _BY_CAUSE.get(cause or 0, "failed")
    return "unavailable" if status == "no_answer" and not rang else status


def describe(cause: int) -> str:
    """A Q.850 cause in words."""
    return _TEXT.get(cause, f"cause {cause}")
