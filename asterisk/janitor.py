"""The janitor: what a dead engine, or a request that never got its answer, left in Asterisk.

Every id that we give begins with a tag, `hf-<place>-<pid>-<random>`, so that a leftover says whose it was. It is
removed when its engine is surely dead: the process is gone from this place (host, boot and process namespace), or its
application is ours now. Callers who were left alone are offered to whoever may know their call, and go on in the
dialplan, to the fallback behind `Stasis`, when nobody wants offers. Two people who talk to each other are offered, too,
once, and else left alone until one of them hangs up.

An engine whose application was taken while it lived still has its calls, and ends them. Who can tell that it lives
(`others`) leaves all of them alone until it does not; the janitor of the engine that lost the application removes
nothing of its heir's.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from asterisk import ari
from asterisk.switch import Switch

logger = logging.getLogger(__name__)

EVERY = 60.0  # seconds between two rounds
AGAIN = 1.0  # seconds to the next round while another engine of our application lives
SOON = 6.0  # seconds to the next round when something may have been left: longer than a request may take
GRACE = 1.0  # seconds that a channel without an owner gets: its StasisStart may be on its way to us

_TAG = re.compile(r"(hf-([0-9a-f]{8})-([0-9]+)-[0-9a-f]{6})-[0-9a-f]{16}")
_MEDIA = re.compile(r"(WebSocket|AudioSocket|UnicastRTP)/")
_alive: set[str] = set()  # the tags of this process


def here() -> str:
    """A sign of this host, boot and process namespace: where a process id means something."""
    facts = [socket.gethostname()]
    try:
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        facts.append(str(Path("/proc/self/ns/pid").stat().st_ino))
    except OSError:
        facts.append("no /proc")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def new_tag() -> str:
    """A tag for one exchange of this process."""
    tag = f"hf-{here()}-{os.getpid()}-{secrets.token_hex(3)}"
    _alive.add(tag)
    return tag


def retire(tag: str) -> None:
    """The exchange of this tag is gone: what it left may be removed."""
    _alive.discard(tag)


def is_ours(given_id: str) -> bool:
    """Whether an engine made this id, not Asterisk."""
    return _TAG.fullmatch(given_id) is not None


def is_running(pid: int) -> bool:
    """Whether a process of this number is there (it may be another program: then its leftovers wait)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True, slots=True)
class LeftOver:
    """A caller of an engine that died: alone, or in a bridge with the person to whom they talk."""

    caller: ari.Channel
    bridge: str = ""
    peer: ari.Channel | None = None


class Janitor:
    """Sweeps one Asterisk for one exchange. ``offer``: who takes callers that a dead engine of our application left;
    ``others``: whether another engine of our application lives, which never raises.
    """

    def __init__(
        self, switch: Switch, offer: Callable[[LeftOver], None] | None = None,
        others: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:  # fmt: skip
        self._switch = switch
        self._client = switch.client
        self._offer = offer
        self._others = others
        self._heir = True  # of whoever had our application before
        self._waits = False  # for another engine of our application to end its calls
        self._offered: set[str] = set()  # bridges of two who talk
        self._sweeping = asyncio.Lock()
        self.talking: frozenset[str] = frozenset()
        """The channels of those who talk on without an engine: when one of them is gone, the other needs a sweep."""

    async def run(self) -> None:
        """Sweep now and every minute, and soon after something went wrong, until cancelled."""
        doubt = self._switch.doubt
        while True:
            await self.sweep()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(AGAIN if self._waits else EVERY):
                    await doubt.wait()
            if doubt.is_set():
                await asyncio.sleep(SOON)
                doubt.clear()

    async def sweep(self) -> None:
        """One round. Raises nothing: what could not be removed waits for the next."""
        async with self._sweeping:
            try:
                bridges, listed = await asyncio.gather(self._client.bridges.list(), self._client.channels.list())
                mine = await self._in_application()
            except ari.AriError as error:
                logger.info("the janitor could not look around: %s", error)
                return
            channels = {channel.id: channel for channel in listed}
            ours = {each: channels[each] for each in mine if each in channels}
            self._heir = await self._is_heir()  # asked last: who begins to live now has nothing in these lists
            talking = self.talking = await self._sweep_bridges(bridges, channels, ours)
            for channel in channels.values():
                if channel.id not in talking and self._is_leftover(channel.id, _app_of(channel)):
                    logger.warning("hanging up %s (%s), which nobody owns", channel.id, channel.name)
                    await _quietly(self._client.channels.hangup(channel_id=channel.id))
            if self._heir:
                strays = [each for each in ours if each not in talking and not _TAG.fullmatch(each)]
                await self._offer_alone([channels[each] for each in await self._nobodys(strays)])

    async def _is_heir(self) -> bool:
        """Whether what is left in our application is ours to end."""
        if self._client.state is ari.State.LOST:
            self._waits = False
            return False
        waits = self._others is not None and await self._others()
        if waits and not self._waits:
            logger.warning("another engine of %s lives: its calls are left to it until it ends", self._client.app)
        self._waits = waits
        return not waits

    async def _sweep_bridges(
        self, bridges: list[ari.Bridge], channels: Mapping[str, ari.Channel], ours: Mapping[str, ari.Channel]
    ) -> frozenset[str]:
        """Remove leftover bridges, but for those in which two people talk; gives the channels in these."""
        talking: set[str] = set()
        for bridge in bridges:
            if bridge.id in self._switch.bridges or not self._is_leftover(bridge.id, bridge.name):
                continue
            people = [each for each in bridge.channels if each in channels and not _MEDIA.match(channels[each].name)]
            if len(people) > 1:
                talking.update(bridge.channels)
                self._offer_pair(bridge.id, [ours[each] for each in people if each in ours])
                continue
            logger.warning("removing bridge %s, which a dead engine left", bridge.id)
            strangers = [each for each in people if not _TAG.fullmatch(each) and each not in ours]
            for caller in await self._nobodys(strangers):
                await self._return(caller)
            await _quietly(self._client.bridges.destroy(bridge_id=bridge.id))
        return frozenset(talking)

    async def _in_application(self) -> frozenset[str]:
        """The channels in our application, whoever put them there."""
        return frozenset((await self._client.applications.get(application_name=self._client.app)).channel_ids)

    async def _offer_alone(self, callers: list[ari.Channel]) -> None:
        """Callers whom no line holds: to whoever wants them. One whose line was just given back is none of them."""
        if self._offer is None or not callers:
            for caller in callers:
                await self._return(caller.id)
            return
        try:
            still = await self._in_application()
        except ari.AriError as error:
            logger.info("the janitor could not look again: %s", error)
            return
        for caller in callers:
            if caller.id in still and caller.id not in self._switch.parties:
                self._offer(LeftOver(caller))

    def _offer_pair(self, bridge: str, people: list[ari.Channel]) -> None:
        """Two who talk are offered when one of them called and the other was dialled by the engine that died."""
        callers = [each for each in people if not _TAG.fullmatch(each.id)]
        dialled = [each for each in people if _TAG.fullmatch(each.id)]
        if self._offer is not None and self._heir and len(callers) == len(dialled) == 1 and bridge not in self._offered:
            self._offered.add(bridge)
            self._offer(LeftOver(callers[0], bridge, dialled[0]))

    async def _nobodys(self, callers: Iterable[str]) -> list[str]:
        """Those whom no line holds, and none is about to."""
        unknown = [each for each in callers if each not in self._switch.parties]
        if unknown:
            await asyncio.sleep(GRACE)
        return [each for each in unknown if each not in self._switch.parties]

    async def _return(self, caller: str) -> None:
        """A caller whom no line holds goes on in the dialplan: nobody must wait in silence."""
        logger.warning("giving %s back to the dialplan: its engine is dead", caller)
        await _quietly(self._client.channels.continue_in_dialplan(channel_id=caller))

    def _is_leftover(self, given_id: str, app: str) -> bool:
        """Whether an id that this exchange does not know is one of ours, and its engine dead."""
        found = _TAG.fullmatch(given_id)
        if found is None or given_id in self._switch.parties:
            return False
        tag, place, pid = found.groups()
        if tag == self._switch.tag or tag in _alive:
            return tag == self._switch.tag
        if app == self._client.app and self._heir:
            return True  # the application's name is ours now, so its former engine hears nothing any more
        return place == here() and (int(pid) == os.getpid() or not is_running(int(pid)))


def _app_of(channel: ari.Channel) -> str:
    return channel.dialplan.app_data.split(",")[0]


async def _quietly(request: Awaitable[None]) -> None:
    try:
        await request
    except ari.AriError as error:
        logger.info("the janitor could not finish: %s", error)
