"""Whom a flow can have rung: ``pjsip:NAME``, ``pjsip:USER@TRUNK``, ``tel:+NUMBER``, ``teams:USER`` or
``teams:USER@DOMAIN``.

The line (`asterisk.targets`) has the last word and makes dial strings of them. The language has the same rules in its
own words, so that authors hear of a mistake before anybody calls; a test holds both together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from flows.problems import did_you_mean

Kind = Literal["pjsip", "tel", "teams"]

KINDS: Final[tuple[Kind, ...]] = ("pjsip", "tel", "teams")
GROUP: Final = "group:"  # stands for the members of a group of resources.yaml
NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""A telephone number that stands alone, in E.164."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_USER = re.compile(r"\+?[A-Za-z0-9*][A-Za-z0-9_.*-]{0,63}")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[1-9][0-9]{0,4})?")
_SEPARATORS = re.compile(r"[ .()-]")
_E164 = re.compile(r"\+[1-9][0-9]{4,14}")


class TargetError(ValueError):
    """No target; the text says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target as it will be dialled. ``user`` is the number or the name that the other side is asked for; "" for an
    endpoint, which is rung itself."""

    kind: Kind
    user: str


def read_target(written: str) -> Target:
    """The target that a text means, separators of numbers left out. Raises `TargetError`."""
    scheme, colon, rest = written.partition(":")
    match scheme:
        case "pjsip" if rest:
            return Target("pjsip", _pjsip(rest))
        case "tel" if rest:
            return Target("tel", _number(_SEPARATORS.sub("", rest)))
        case "teams" if rest:
            return Target("teams", _teams(rest))
    near = did_you_mean(scheme, KINDS) if colon and scheme not in KINDS else ""
    raise TargetError(f"no target{near}; write pjsip:NAME, pjsip:NUMBER@TRUNK, tel:+NUMBER or teams:NAME")


def mistake_in(written: str) -> str:
    """Why a text is no target; "" when it is one."""
    try:
        read_target(written)
    except TargetError as error:
        return f"{written!r}: {error}"
    return ""


def number_of(written: str) -> str | None:
    """The telephone number that ``+14155550100`` or ``tel:+1 415 555-0100`` means; None when it is none."""
    number = _SEPARATORS.sub("", written[4:]) if written.startswith("tel:") else written
    return number if NUMBER.fullmatch(number) else None


def _pjsip(rest: str) -> str:
    user, at, trunk = rest.partition("@")
    if not _NAME.fullmatch(trunk if at else rest):
        hint = "; a number is written tel:+NUMBER or pjsip:NUMBER@TRUNK" if rest.startswith("+") and not at else ""
        raise TargetError(f"{(trunk if at else rest)!r} is no name of a PJSIP endpoint{hint}")
    return _user(user) if at else ""


def _teams(rest: str) -> str:
    user, at, domain = rest.partition("@")
    user = _user(user)
    if at and not user.startswith("+") and not _DOMAIN.fullmatch(domain):
        raise TargetError(f"{domain!r} is no domain")
    return user


def _user(user: str) -> str:
    if user.startswith("+"):
        return _number(user)
    if not _USER.fullmatch(user):
        raise TargetError(f"{user!r} may hold only letters, digits and + * _ . -")
    return user


def _number(number: str) -> str:
    if not _E164.fullmatch(number):
        raise TargetError(f"{number!r} is no E.164 number, such as +14155550100")
    return number
