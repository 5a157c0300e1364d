"""The exchange: one Asterisk, from which calls come. It connects, gives lines, and keeps order when things break."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from asterisk import ari, version
from asterisk.ari.models import (
    ChannelDestroyed,
    ChannelDtmfReceived,
    ChannelHangupRequest,
    ChannelStateChange,
    Dial,
    StasisEnd,
    StasisStart,
)
from asterisk.arrival import arguments_of, facts_of, is_dead, read_headers
from asterisk.causes import describe
from asterisk.external_media import ExternalMedia
from asterisk.facts import Ending
from asterisk.janitor import Janitor, LeftOver, is_ours, new_tag, retire
from asterisk.line import AsteriskLine
from asterisk.media.choose import Driver, available
from asterisk.media.control import MediaError
from asterisk.media.drivers import Drivers
from asterisk.media.leg import Format
from asterisk.party import Party
from asterisk.switch import Switch
from asterisk.targets import Targets

logger = logging.getLogger(__name__)

HOPELESS_AFTER = 60.0  # seconds without Asterisk after which its calls count as ended
OUR_REQUEST = 32  # the cause in ChannelHangupRequest when ARI asked for it, whatever cause was asked for (measured)
WATCH_EVERY = 2.0  # seconds between two looks at who is alive, when events do not come any more
CLOSE_WITHIN = 10.0  # seconds for all lines to be released


class ExchangeError(Exception):
    """Asterisk cannot be used; the text says what is wrong, where, and what to do.

    ``may_pass``: nothing needs to be changed when Asterisk is only about to start.
    """

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """Which Asterisk, as whom, and how.

    `app`: the Stasis application that the dialplan names; None: one of this process alone. `media`: the driver, or
    `auto` for the best that this Asterisk has, and the next one where that fails. `media_host`: where Asterisk reaches
    us, for AudioSocket and RTP. `takes_left_over`: callers whom an earlier engine of this application left come as
    lines, too (`Facts.left_over`); otherwise they go back to the dialplan. `others`: whether another engine of this
    application lives, whose calls are left to it until it does not; it never raises.
    """

    url: str
    user: str
    password: str
    app: str | None = None
    media: Driver | Literal["auto"] = "auto"
    format: Format = "ulaw"
    media_host: str | None = None
    targets: Targets = field(default_factory=Targets)
    start_timeout: float = 5.0  # seconds for Asterisk to answer at the start
    takes_left_over: bool = False
    others: Callable[[], Awaitable[bool]] | None = None


class Exchange:
    """Gives lines. `async with Exchange.open(settings) as exchange: async for line in exchange.lines(): …`."""

    def __init__(
        self, client: ari.Client, switch: Switch, audio: ExternalMedia, settings: ExchangeSettings
    ) -> None:  # fmt: skip
        self._client = client
        self._switch = switch
        self._audio = audio
        self._targets = settings.targets
        self._janitor = Janitor(switch, self._on_left_over if settings.takes_left_over else None, settings.others)
        self._lines: dict[str, AsteriskLine] = {}
        self._arrivals: asyncio.Queue[AsteriskLine | None] = asyncio.Queue()
        self._hopeless: asyncio.TimerHandle | None = None
        self._closed = False
        client.on_event("StasisStart", self._on_start)
        client.on_event("StasisEnd", self._on_end)
        client.on_event("ChannelStateChange", self._on_state)
        client.on_event("Dial", self._on_dial)
        client.on_event("ChannelDtmfReceived", self._on_key)
        client.on_event("ChannelHangupRequest", self._on_request)
        client.on_event("ChannelDestroyed", self._on_destroyed)
        client.on_event("Reconciled", self._on_reconciled)
        client.on_state(self._on_link)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: ExchangeSettings) -> AsyncIterator[Exchange]:
        """Connect; at the end release every line. Raises `ExchangeError` when this Asterisk cannot be used."""
        tag = new_tag()
        client = ari.Client(
            settings.url, settings.user, settings.password, settings.app or ari.app_name(),
            start_timeout=settings.start_timeout,
        )  # fmt: skip
        switch = Switch(client, tag)
        try:
            async with AsyncExitStack() as stack:
                with _explained(settings):
                    drivers = await _drivers(settings)
                    audio = ExternalMedia(switch, settings.url, drivers, settings.format, settings.media_host)
                    await stack.enter_async_context(audio)
                    exchange = cls(client, switch, audio, settings)
                    await stack.enter_async_context(client)
                await stack.enter_async_context(exchange._serving())
                yield exchange
        finally:
            retire(tag)

    @property
    def connected(self) -> asyncio.Event:
        """Set while calls can come in."""
        return self._client.connected

    @property
    def app(self) -> str:
        """The Stasis application, for the dialplan."""
        return self._client.app

    @property
    def media(self) -> Driver:
        """The driver that is used unless it fails."""
        return self._audio.drivers.best

    @property
    def drivers(self) -> Drivers:
        """All drivers that may be used, and how they fare."""
        return self._audio.drivers

    @property
    def failure(self) -> Exception | None:
        """Why no more calls come, once another client has taken the application's name. Live lines go on."""
        return self._client.failure

    @property
    def live(self) -> int:
        """Lines that are not closed."""
        return len(self._lines)

    def leftovers(self) -> list[str]:
        """Ids of the channels and bridges that are still followed; empty when no call is live."""
        return [*self._switch.parties, *self._switch.bridges]

    async def lines(self) -> AsyncIterator[AsteriskLine]:
        """New calls, as they come; whoever takes one closes it. Ends when no more can come: see `failure`."""
        while (line := await self._arrivals.get()) is not None:
            yield line

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Sweep while calls are served; at the end give back what nobody took and release the rest."""
        sweeping = asyncio.create_task(self._janitor.run(), name="janitor")
        try:
            yield
        finally:
            self._closed = True
            self._expect_asterisk()
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)
            await self._release()

    async def _release(self) -> None:
        """Give back what nobody took, then close every line; all at once, and in bounded time."""
        waiting = [self._arrivals.get_nowait() for _ in range(self._arrivals.qsize())]
        self._arrivals.put_nowait(None)
        for line in waiting:
            if line is not None:
                self._refuse(line)
        await self._switch.settle(CLOSE_WITHIN)
        for line in list(self._lines.values()):
            self._switch.start(line.close(), f"close of line {line.facts.id}")
        await self._switch.settle(CLOSE_WITHIN)
        if self._switch.doubt.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_WITHIN):
                    await self._janitor.sweep()
            await self._switch.settle(CLOSE_WITHIN)

    # ── Events. They come in order for each channel; none of these waits. ─────────────────────────────────────────────

    def _on_start(self, event: StasisStart) -> None:
        channel = event.channel
        party = self._switch.parties.get(channel.id)
        if party is not None and party.back is not None:
            if not party.back.done():
                party.back.set_result(tuple(event.args))
        elif party is not None and not party.left.is_set():  # one that we made
            party.see(channel)
            party.entered.set()
        elif is_dead(event):
            logger.warning("not a call: %s entered %s at %r", channel.name, self.app, channel.dialplan.exten)
        elif is_ours(channel.id):
            self._switch.start(self._janitor.sweep(), "sweep")  # a leftover of a dead engine
        else:
            party = self._switch.follow(channel.id)
            party.see(channel)
            party.entered.set()
            self._switch.start(self._arrive(event, party), f"arrival of {channel.id}")

    async def _arrive(self, event: StasisStart, party: Party) -> None:
        facts = facts_of(event.channel, event.args, await read_headers(event.channel))
        self._offer(AsteriskLine(self._switch, self._audio, self._targets, party, facts))

    def _on_left_over(self, left: LeftOver) -> None:
        logger.warning("%s was left by an engine that died", left.caller.name)
        party = self._switch.follow(left.caller.id)
        party.see(left.caller)
        party.entered.set()
        facts = facts_of(left.caller, arguments_of(left.caller), {}, left_over=True)
        line = AsteriskLine(self._switch, self._audio, self._targets, party, facts, left)
        self._switch.start(self._return(line, left), f"return of {left.caller.id}")

    async def _return(self, line: AsteriskLine, left: LeftOver) -> None:
        """Who hung up before we followed them has told nobody."""
        for channel in (left.caller, left.peer):
            if channel is not None:
                with contextlib.suppress(ari.AriError):
                    try:
                        await self._client.channels.get(channel_id=channel.id)
                    except ari.NotFound:
                        self._switch.lost(self._switch.parties[channel.id])
        line.recall(replace(line.facts, headers=await read_headers(left.caller)))
        self._offer(line)

    def _offer(self, line: AsteriskLine) -> None:
        """To whoever takes the calls; when nobody will any more, back to the dialplan, but for two who talk."""
        if self._closed or self._client.state is ari.State.LOST:
            return self._refuse(line)
        key = line.facts.id  # which may change, when more is known
        self._lines[key] = line
        line.closed.add_done_callback(lambda _: self._lines.pop(key, None))
        return self._arrivals.put_nowait(line)

    def _refuse(self, line: AsteriskLine) -> None:
        if line.peer is not None:
            line.let_be()
        else:
            self._switch.start(_give_back(line), f"return of line {line.facts.id}")

    def _on_end(self, event: StasisEnd) -> None:
        party = self._switch.parties.get(event.channel.id)
        if party is not None:
            party.leave()
        elif event.channel.id in self._janitor.talking:
            self._switch.start(self._janitor.sweep(), "sweep")  # who talked to them is alone now

    def _on_request(self, event: ChannelHangupRequest) -> None:
        if (party := self._switch.parties.get(event.channel.id)) is not None and event.cause not in (None, OUR_REQUEST):
            party.going(Ending(event.cause or 0, event.tech_cause, describe(event.cause or 0)))

    def _on_state(self, event: ChannelStateChange) -> None:
        if (party := self._switch.parties.get(event.channel.id)) is not None:
            party.see(event.channel)

    def _on_dial(self, event: Dial) -> None:
        if event.dialstatus == "PROGRESS" and (party := self._switch.parties.get(event.peer.id)) is not None:
            party.rang = True

    def _on_key(self, event: ChannelDtmfReceived) -> None:
        if (party := self._switch.parties.get(event.channel.id)) is not None:
            party.press(event.digit)

    def _on_destroyed(self, event: ChannelDestroyed) -> None:
        if (party := self._switch.parties.get(event.channel.id)) is not None:
            party.end(Ending(event.cause, event.tech_cause, event.cause_txt or describe(event.cause)))

    # ── Gaps ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _on_reconciled(self, event: ari.Reconciled) -> None:
        self._reconcile(event.channels, event.asked)
        self._switch.start(self._janitor.sweep(), "sweep")

    def _reconcile(self, channels: Iterable[ari.Channel], asked: float) -> None:
        """End the parties that are gone. `asked`: when the list was asked for; it may lack what is younger."""
        living = {channel.id: channel for channel in channels}
        for party in list(self._switch.parties.values()):
            if party.id in living:
                party.see(living[party.id])
            elif party.seen_at is not None and party.seen_at < asked:
                self._switch.lost(party)

    def _on_link(self, state: ari.State) -> None:
        self._expect_asterisk()
        match state:
            case ari.State.CONNECTING if self._lines:
                self._hopeless = asyncio.get_running_loop().call_later(HOPELESS_AFTER, self._give_up)
            case ari.State.LOST:
                self._arrivals.put_nowait(None)
                self._switch.start(self._watch(), "watch without events")

    def _expect_asterisk(self) -> None:
        if self._hopeless is not None:
            self._hopeless.cancel()
            self._hopeless = None

    def _give_up(self) -> None:
        logger.error("Asterisk has been away for %d s: its calls count as ended", HOPELESS_AFTER)
        self._reconcile((), asyncio.get_running_loop().time())

    async def _watch(self) -> None:
        """Our events go to another client now: ask who is still there, until the last line is closed."""
        loop = asyncio.get_running_loop()
        while self._lines and not self._closed:
            asked = loop.time()
            try:
                self._reconcile(await self._client.channels.list(), asked)
            except ari.AriError as error:
                logger.warning("cannot ask which calls are alive: %s", error)
            await asyncio.sleep(WATCH_EVERY)


async def _give_back(line: AsteriskLine) -> None:
    await line.give_back()
    await line.close()


@contextmanager
def _explained(settings: ExchangeSettings) -> Iterator[None]:
    """What keeps us from connecting, in words that say what to do."""
    try:
        yield
    except ari.Unauthorized as error:
        raise ExchangeError(
            f"Asterisk at {settings.url} refuses the ARI user {settings.user!r} or its password; compare with ari.conf"
        ) from error
    except (ari.Unreachable, ari.Timeout) as error:
        raise ExchangeError(
            f"Asterisk at {settings.url} does not answer: {error.message}; does it run, and is its HTTP server enabled "
            "(http.conf) at this address?",
            may_pass=True,
        ) from error
    except (ari.NotFound, ari.ServerError) as error:  # its HTTP server is up before ARI is
        raise ExchangeError(f"Asterisk at {settings.url} cannot be used: {error}", may_pass=True) from error
    except (ari.AriError, MediaError, ValueError) as error:
        raise ExchangeError(f"Asterisk at {settings.url} cannot be used: {error}") from error


async def _drivers(settings: ExchangeSettings) -> Sequence[Driver]:
    """Look at this Asterisk: say what is known to be wrong with its version, and how audio can travel, best first."""
    async with ari.Client(settings.url, settings.user, settings.password, timeout=settings.start_timeout) as client:
        info, modules = await asyncio.gather(client.asterisk.get_info(only="system"), client.asterisk.list_modules())
    try:
        found = version.parse(info.system.version if info.system else "")
    except version.UnknownVersionError as error:
        raise ExchangeError(f"Asterisk at {settings.url}: {error}") from error
    for verdict in version.judge(found):
        if verdict.level != "ok":
            logger.warning("%s. %s", verdict.what, verdict.advice)
    found_drivers = available(
        (found.major, found.minor, found.patch), [module.name for module in modules if module.status == "Running"]
    )
    if settings.media == "auto":
        return found_drivers
    if settings.media == "websocket" and "websocket" not in found_drivers:
        raise ExchangeError(
            f"Asterisk {found} at {settings.url} has no media WebSocket with JSON control; set the media driver to auto"
        )
    return (settings.media,)
