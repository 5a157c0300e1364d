"""What is known of a call when it arrives, in the words of the flow language: ``call`` and ``caller``.

What headers tell was said by whoever sent the INVITE: it is worth as much as the trunk is trusted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import phonenumbers

from engine.line import Facts

_ADDRESS = re.compile(r"<\s*(?:sips?|tel):([^@;>]+)", re.IGNORECASE)
_VERSTAT = re.compile(r";\s*verstat\s*=\s*\"?([A-Za-z0-9-]+)", re.IGNORECASE)
_LEVEL = re.compile(r"-([ABC])\Z", re.IGNORECASE)


def known_of(facts: Facts) -> dict[str, dict[str, Any]]:
    """``call`` and ``caller`` as expressions see them, as far as they do not change."""
    headers = dict(facts.headers)
    return {
        "call": {
            "id": facts.id, "direction": facts.direction, "trunk": facts.trunk, "did": facts.did, "headers": headers,
            **told_by(headers),
        },
        "caller": {
            "number": facts.caller, "name": facts.caller_name, "anonymous": not facts.caller,
            "country": country_of(facts.caller),
        },
    }  # fmt: skip


def told_by(headers: Mapping[str, str]) -> dict[str, Any]:
    """What headers tell of a call, empty where they do not.

    ``diversion``: the numbers that were called before, the last one first (RFC 5806). ``uui``: what User-to-User
    carries, as it was sent, without parameters (RFC 7433). ``verstat``: how the carrier verified the caller's number
    (`TN-Validation-Passed`, `TN-Validation-Failed`, `No-TN-Validation`; 3GPP TS 24.229), from P-Asserted-Identity or
    X-Twilio-VerStat. ``attestation``: A, B or C of STIR/SHAKEN, from P-Attestation-Indicator or the end of ``verstat``.
    """
    told = {name.lower(): value for name, value in headers.items()}
    found = _VERSTAT.search(told.get("p-asserted-identity", ""))
    verstat = found[1] if found else told.get("x-twilio-verstat", "").strip()
    level = _LEVEL.search(verstat)
    attestation = told.get("p-attestation-indicator", "").strip().upper() or (level[1].upper() if level else "")
    return {
        "diversion": [number.strip() for number in _ADDRESS.findall(told.get("diversion", ""))],
        "uui": told.get("user-to-user", "").partition(";")[0].strip(),
        "attestation": attestation if attestation in ("A", "B", "C") else "",
        "verstat": _LEVEL.sub("", verstat),
    }


@lru_cache(maxsize=4096)
def country_of(number: str) -> str:
    """The country of an E.164 number, as in ISO 3166 (`DE`); "" where it has none, as a freephone number."""
    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return ""
    return region if region and region.isalpha() else ""
