"""Asterisk's own detector of answering machines (app_amd), on a copy of the call's sound.

AMD is an application of the dialplan. The call itself does not go there: it would leave the application, its bridge and
its keys for seconds, and an engine that listens to it, or records it, would be deaf. A snoop channel goes in its place
and comes back with the verdict (measured on 22.10.1: 5 ms until AMD listens, no frame of the call is lost).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final, Literal

from asterisk import ari
from asterisk.causes import NORMAL_CLEARING
from asterisk.facts import Ending, LineError
from asterisk.party import Party
from asterisk.switch import Switch

Verdict = Literal["human", "machine", "unknown"]

CONTEXT: Final = "hookflash-machine"
VARIABLE: Final = "HOOKFLASH_AMD"
GREETING_MS, PAUSE_MS, WORD_MS, BETWEEN_WORDS_MS = 1500, 800, 100, 50  # as in Asterisk's sample of amd.conf
ENTERS_WITHIN: Final = 2.0  # seconds for the snoop channel to be ours
LATE: Final = 2.0  # seconds that the verdict may take beyond its own time


async def detect(switch: Switch, party: Party, *, timeout: float, max_words: int) -> Verdict:
    """What AMD says of who speaks on a channel, within ``timeout`` seconds. Raises `LineError`, `LineGone`."""
    ear = switch.follow()
    try:
        with switch.speaking_of("detecting a machine", party):
            return await _judge(switch, party, ear, _arguments(timeout, max_words), timeout + LATE)
    except TimeoutError:
        raise LineError(
            f"Asterisk did not say who answered: its dialplan needs the context {CONTEXT}, and that the module app_amd "
            "and an amd.conf (hookflash asterisk-config writes all of them)"
        ) from None
    finally:
        await switch.finish(_end(switch, ear), f"end of {ear.id}")


def _arguments(timeout: float, max_words: int) -> str:
    """AMD's, by position. Who says nothing is no machine: the silence before the first word may take all the time."""
    total = int(timeout * 1000)
    return f"{total},{GREETING_MS},{PAUSE_MS},{total},{WORD_MS},{BETWEEN_WORDS_MS},{max_words}"


async def _judge(switch: Switch, party: Party, ear: Party, arguments: str, within: float) -> Verdict:
    channels = switch.client.channels
    async with asyncio.timeout(ENTERS_WITHIN):
        request = channels.snoop_channel(channel_id=party.id, app=switch.client.app, spy="in", snoop_id=ear.id)
        await switch.make(ear, request)
        await ear.entered.wait()
        await channels.set_channel_var(channel_id=ear.id, variable=VARIABLE, value=arguments)
    ear.back = asyncio.get_running_loop().create_future()
    await channels.continue_in_dialplan(channel_id=ear.id, context=CONTEXT, extension="s", priority=1)
    async with asyncio.timeout(within):
        _, status, cause = (*await asyncio.shield(ear.back), "", "", "")[:3]
    if status == "MACHINE" and cause.startswith("INITIALSILENCE"):
        return "unknown"
    return {"HUMAN": "human", "MACHINE": "machine"}.get(status, "unknown")  # type: ignore[return-value]


async def _end(switch: Switch, ear: Party) -> None:
    if ear.back is None or ear.back.done():
        await switch.hang_up(ear)
    else:  # in the dialplan, from where nobody tells us its end
        with suppress(ari.AriError):
            await switch.client.channels.hangup(channel_id=ear.id)
        ear.end(Ending(NORMAL_CLEARING, None, "nobody asks any more"))
    switch.forget(ear)
