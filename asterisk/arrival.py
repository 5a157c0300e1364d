"""What a call tells of itself when it arrives: the facts in its StasisStart, and the SIP headers that matter."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence

from asterisk import ari
from asterisk.ari.models import StasisStart
from asterisk.facts import Facts

HEADERS_WITHIN = 0.25  # seconds; it takes 2 ms, and no call waits longer for an Asterisk that is busy
MOST_HEADERS = 32
LONGEST_VALUE = 1024  # characters

_WANTED = re.compile(
    r"x-.*|diversion|history-info|user-to-user|p-asserted-identity|p-attestation-.*|p-origination-id", re.IGNORECASE
)
_PJSIP = re.compile(r"PJSIP/(.+)-[0-9a-f]{8}")
_WITHHELD = frozenset({"", "anonymous", "restricted", "unavailable", "unknown", "private"})


def is_dead(event: StasisStart) -> bool:
    """Whether this is no call: an id is missing, or a careless `_.` in the dialplan sent a finished call (`h`) here."""
    return not event.channel.id or event.channel.dialplan.exten == "h"


def arguments_of(channel: ari.Channel) -> list[str]:
    """The arguments of `Stasis`, for a channel that is in it: what its StasisStart told, to whoever heard it."""
    return channel.dialplan.app_data.split(",")[1:]


def facts_of(
    channel: ari.Channel, arguments: Sequence[str], headers: Mapping[str, str], *, left_over: bool = False
) -> Facts:
    """The facts of a call. The first argument of `Stasis` is the number that was called; without it, the extension."""
    number = channel.caller.number
    withheld = number.lower() in _WITHHELD
    trunk = _PJSIP.fullmatch(channel.name)
    return Facts(
        id=secrets.token_hex(8),
        did=arguments[0] if arguments and arguments[0] else channel.dialplan.exten,
        caller="" if withheld else number,
        caller_name="" if withheld else channel.caller.name,
        trunk=trunk[1] if trunk else "",
        headers=headers,
        channel=channel.id,
        left_over=left_over,
    )


def is_wanted(header: str) -> bool:
    """Whether a flow gets to see this SIP header of an INVITE."""
    return _WANTED.fullmatch(header) is not None


async def read_headers(channel: ari.Channel) -> dict[str, str]:
    """The headers of the INVITE that a flow may want (X-*, Diversion, User-to-User, P-Asserted-Identity, …).

    In two rounds of requests: the names, then all values at once. What does not come in time is left out.
    """
    if not _PJSIP.fullmatch(channel.name):
        return {}
    found: dict[str, str] = {}

    async def read(name: str) -> None:
        variable = await channels.get_channel_var(channel_id=channel.id, variable=f"PJSIP_HEADER(read,{name})")
        found[name] = variable.value[:LONGEST_VALUE]

    channels = channel.client.channels
    try:
        async with asyncio.timeout(HEADERS_WITHIN):
            names = (await channels.get_channel_var(channel_id=channel.id, variable="PJSIP_HEADERS()")).value.split(",")
            wanted = list(dict.fromkeys(name for name in names if is_wanted(name)))[:MOST_HEADERS]
            await asyncio.gather(*(read(name) for name in wanted), return_exceptions=True)
    except (TimeoutError, ari.AriError):
        pass  # a call without its headers is still a call
    return found
