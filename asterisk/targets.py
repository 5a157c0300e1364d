"""Whom to dial: targets as flows write them, to Asterisk's dial strings, and what goes into the INVITE.

Targets, caller ids and header values may come from a caller or from a language model, and Asterisk's dial strings are
a small language: `&` rings two, `/` changes the endpoint, `@` the trunk. So everything is matched whole against what is
allowed; nothing is escaped or repaired.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from asterisk.facts import DialOptions, LineError

MAX_HEADER = 1024  # bytes; more does not fit into every carrier's INVITE
MAX_HEADERS = 20

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_USER = re.compile(r"\+?[A-Za-z0-9*][A-Za-z0-9_.*-]{0,63}")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[1-9][0-9]{0,4})?")
_SEPARATORS = re.compile(r"[ .()-]")
_E164 = re.compile(r"\+[1-9][0-9]{4,14}")
_CALLER_ID = re.compile(r"\+?[0-9*]{2,20}")
_CALLER_NAME = re.compile(r"[^\x00-\x1f\x7f\"<>\\]{0,80}")
_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_HEADER_VALUE = re.compile(r"[^\x00-\x1f\x7f]*")

# Headers that make up the dialogue or the message itself: setting them breaks the call or forges its origin.
_RESERVED = re.compile(
    r"via|from|to|call-id|cseq|contact|route|record-route|max-forwards|content-.*|(proxy-)?auth.*|www-auth.*|require"
    r"|proxy-require|supported|allow|allow-events|expires|session-expires|min-se|identity|mime-version|rack|rseq",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Targets:
    """How this house dials. `prefixes`: beginnings of the numbers that may be dialled (`+1`), all when empty."""

    trunk: str | None = None  # the endpoint that takes `tel:` targets
    teams: str = "teams"  # the endpoint that takes `teams:` targets
    prefixes: tuple[str, ...] = ()

    def endpoint(self, target: str) -> str:
        """The dial string of `pjsip:phone`, `pjsip:user@trunk`, `tel:+E.164` or `teams:user`. Raises `LineError`."""
        scheme, colon, rest = target.partition(":")
        if colon and rest:
            match scheme:
                case "pjsip":
                    return self._pjsip(target, rest)
                case "tel":
                    return self._tel(target, rest)
                case "teams":
                    return self._teams(target, rest)
        raise LineError(f"{target!r} is no target; write pjsip:NAME, pjsip:NUMBER@TRUNK, tel:+NUMBER or teams:NAME")

    def _pjsip(self, target: str, rest: str) -> str:
        user, at, trunk = rest.partition("@")
        if not at:
            if not _NAME.fullmatch(rest):
                hint = "; a number is written tel:+NUMBER or pjsip:NUMBER@TRUNK" if rest.startswith("+") else ""
                raise LineError(f"{target!r}: {rest!r} is no name of a PJSIP endpoint{hint}")
            return f"PJSIP/{rest}"
        if not _NAME.fullmatch(trunk):
            raise LineError(f"{target!r}: {trunk!r} is no name of a PJSIP endpoint")
        return f"PJSIP/{self._user(target, user)}@{trunk}"

    def _tel(self, target: str, rest: str) -> str:
        number = self._number(target, _SEPARATORS.sub("", rest))
        if self.trunk is None:
            raise LineError(
                f"{target!r}: no trunk takes tel: targets; set the default trunk, or write pjsip:{number}@TRUNK"
            )
        return f"PJSIP/{number}@{self.trunk}"

    def _teams(self, target: str, rest: str) -> str:
        user, at, domain = rest.partition("@")
        user = self._user(target, user)
        # Teams knows a number whatever the domain; a name is sent to its own domain, through the Teams endpoint.
        if not at or user.startswith("+"):
            return f"PJSIP/{user}@{self.teams}"
        if not _DOMAIN.fullmatch(domain):
            raise LineError(f"{target!r}: {domain!r} is no domain")
        return f"PJSIP/{self.teams}/sip:{user}@{domain};transport=tls"

    def _user(self, target: str, user: str) -> str:
        if user.startswith("+"):
            return self._number(target, user)
        if not _USER.fullmatch(user):
            raise LineError(f"{target!r}: {user!r} may hold only letters, digits and + * _ . -")
        return user

    def _number(self, target: str, number: str) -> str:
        if not _E164.fullmatch(number):
            raise LineError(f"{target!r}: {number!r} is no E.164 number, such as +14155550100")
        if self.prefixes and not number.startswith(self.prefixes):
            raise LineError(f"{target!r}: numbers may begin with {', '.join(self.prefixes)} only")
        return number


def invite_variables(options: DialOptions, own_number: str) -> dict[str, str]:
    """Channel variables that put headers and caller id into the INVITE. Raises `LineError` for what must not go there.

    Without a caller id of its own the leg shows the caller's: `dial?caller=` does that, and it overrides these
    (measured), so it must be left out whenever they set one.
    """
    if len(options.headers) > MAX_HEADERS:
        raise LineError(f"{len(options.headers)} headers are too many: an INVITE takes {MAX_HEADERS} of ours")
    variables = {f"PJSIP_HEADER(add,{name})": header(name, value) for name, value in options.headers.items()}
    number, name = options.caller_id, options.caller_name
    if number is not None:
        caller_id(number)
    if name is not None and not _CALLER_NAME.fullmatch(name):
        raise LineError(f"the caller name {name!r} has characters that a SIP display name cannot carry, or is too long")
    if number is not None or name is not None:
        variables["CONNECTEDLINE(num)"] = number or own_number
        variables["CONNECTEDLINE(name)"] = name or ""
    return variables


def caller_id(number: str) -> str:
    """A number that may be shown. Raises `LineError`."""
    if not _CALLER_ID.fullmatch(number):
        raise LineError(f"the caller id {number!r} is no phone number")
    return number


def header(name: str, value: str) -> str:
    """The value of a header that may be set. Raises `LineError`."""
    if not _HEADER_NAME.fullmatch(name) or _RESERVED.fullmatch(name):
        raise LineError(f"the SIP header {name!r} cannot be set")
    if not _HEADER_VALUE.fullmatch(value):
        raise LineError(f"the SIP header {name} holds a line break or another control character")
    if len(value.encode()) >= MAX_HEADER:
        raise LineError(f"the SIP header {name} has {len(value.encode())} bytes; fewer than {MAX_HEADER} are possible")
    return value
