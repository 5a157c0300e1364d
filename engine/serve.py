"""The engine as a process: settings in, calls taken, until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop

from asterisk.debian import cache_folder
from asterisk.exchange import Exchange, ExchangeError, ExchangeSettings
from asterisk.installation import locate
from asterisk.targets import Targets
from engine.accounts import using
from engine.beside import beside, first_of
from engine.comfort import prepare
from engine.console.server import Console
from engine.errors import UserError
from engine.health import Readiness, serve_health
from engine.http import Http
from engine.intake import Intake
from engine.listening import Recognisers
from engine.loading import closed_to_webhooks, listens, load_library, settle, voices_of
from engine.media_watch import MediaWatch
from engine.metrics import metrics
from engine.price_file import load_prices
from engine.records.store import Records
from engine.reload import Reload
from engine.retention import Disk, Retention
from engine.services import Clock, Keeper, Services
from engine.settings import Settings
from engine.speech import Speech
from engine.spending import Days
from engine.switchboard import Switchboard
from engine.text import Texts
from engine.voices import Voices
from engine.written import writer
from flows.library import Library
from providers.voice import VoiceError

log = structlog.get_logger()

Others = Callable[[], Awaitable[bool]]  # whether another engine of this name and application lives

CONNECT_WITHIN = 5.0  # seconds for one attempt to reach Asterisk
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 5.0  # seconds between two attempts: twice as long each time
REMIND_EVERY = 30.0  # seconds between two lines in the log that say what is waited for
WATCH_EVERY = 0.5  # seconds


class StartError(UserError):
    """The engine cannot start; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine."""

    switchboard: Switchboard
    exchange: Exchange
    readiness: Readiness
    services: Services
    url: str  # of its own HTTP server
    reload: Reload
    lost: asyncio.Event  # no more calls come: another client took the Stasis application


def settings_of_voices(settings: Settings) -> dict[str, dict[str, str]]:
    """The engine's own settings of each voice; the offline one finds what it needs."""
    given = settings.voice_settings()
    given.setdefault("rehearsal", {})
    given["rehearsal"].setdefault("cache", str(Path("var/prompts").absolute()))
    if "flite" not in given["rehearsal"] and shutil.which("flite") is None and cache_folder().exists():
        given["rehearsal"]["flite"] = json.dumps(locate().flite())  # the one beside the sandbox's Asterisk
    return given


def open_voices(settings: Settings, library: Library) -> Voices:
    """Every voice that the flows name, imported and made now, so that no call waits for it. Raises `StartError`."""
    voices = Voices(settings_of_voices(settings), settings.account_settings())
    listener, hears = settings.listening or settings.voice, True
    for account, named in voices_of(library).items():
        with using(account):
            _open(voices, settings, named)
            hears = voices.get(listener).capabilities.recognises  # under any account
    if listens(library) and not hears:
        log.warning("speech is not recognised: set listening to a voice that does", voice=listener)
    return voices


def _open(voices: Voices, settings: Settings, named: Iterable[str]) -> None:
    """The voices that flows name under one account, and those of the settings. Raises `StartError`."""
    also = {name for name in (settings.text, settings.listening) if name is not None}
    for name in sorted({*named, settings.voice, *also}):
        try:
            made = voices.get(name)
            if name == settings.text and made.text_model() is None:
                raise VoiceError(f"the setting text names {name!r}, which has no text model: name one that has")
            if name == settings.voice and not made.capabilities.formats:
                raise VoiceError(f"the setting voice names {name!r}, which has no voice: name it in text, not here")
        except VoiceError as error:
            raise StartError(str(error)) from error
    try:
        voices.get(settings.speech)
    except VoiceError as error:
        log.warning("prompts cannot be spoken", voice=settings.speech, error=str(error))


@asynccontextmanager
async def running(settings: Settings, records: Keeper | None = None) -> AsyncIterator[Engine]:
    """An engine that takes calls while the block runs. At its end live calls are cancelled: drain first.

    Raises `UserError` (settings, flows, Asterisk, port, database) with what to change.
    """
    writes = writer(settings)
    load = partial(load_library, text_model=writes or "", accounts=frozenset(settings.accounts))
    library = load(settings.flows)
    prices = load_prices(settings.cost.prices, settings.cost.currency)
    prepare(settings.asterisk.law)
    readiness = Readiness(capacity=settings.max_calls, flows_loaded=True)
    async with AsyncExitStack() as stack:
        voices, http = open_voices(settings, library), Http()
        stack.push_async_callback(voices.close)
        stack.push_async_callback(http.close)
        if records is None:
            records = await stack.enter_async_context(
                Records.open(
                    settings.database.url.get_secret_value(),
                    engine=settings.name,
                    transcripts=settings.record.transcripts,
                )
            )
        services = Services(
            voices=voices, speech=Speech(voices, settings.speech),
            listening=Recognisers(voices, settings.listening or settings.voice),
            texts=Texts(voices, writes, settings.text_model), http=http, records=records, metrics=metrics,
            clock=Clock(), engine=settings.name, default_voice=settings.voice, law=settings.asterisk.law,
            safety_destination=settings.safety_destination, caller_id=settings.caller_id,
            storage=settings.storage, prices=prices, max_cost=settings.cost.per_call,
            days=Days(settings.cost.per_day), checkpoints=records if isinstance(records, Records) else None,
        )  # fmt: skip
        switchboard, lost = Switchboard(library, services, readiness), asyncio.Event()
        reload = Reload(settings.flows, switchboard, services, load)
        pages = {"/flows": reload.state}
        token = settings.events.token.get_secret_value()
        if closed := closed_to_webhooks(library, token):
            log.warning(closed)
        intake, console = Intake(switchboard, token), Console(settings, switchboard, services, readiness)
        routes = [*intake.routes(), *console.routes()]
        url = await stack.enter_async_context(serve_health(settings.http, readiness, metrics, pages, routes))
        stack.enter_context(console.served())
        await stack.enter_async_context(beside(metrics.watch_loop(), reload.run()))
        await stack.enter_async_context(beside(*_storage(settings, console, switchboard, services)))
        others = await _others(stack, settings, records)
        exchange = await _connected(stack, settings, readiness, url, others)
        await stack.enter_async_context(beside(_take_calls(switchboard, exchange, lost), _watch(exchange, readiness)))
        log.info(
            "ready", asterisk=settings.asterisk.url, app=exchange.app, media=exchange.media, flows=len(library.flows),
            http=url,
        )  # fmt: skip
        yield Engine(switchboard, exchange, readiness, services, url, reload, lost)


async def _others(stack: AsyncExitStack, settings: Settings, records: Keeper) -> Others | None:
    """Say in the database that this engine lives, as long as the stack stands; None without one."""
    if not isinstance(records, Records):
        return None
    return (await stack.enter_async_context(records.presence(settings.name, settings.asterisk.app))).others


def _storage(
    settings: Settings, console: Console, switchboard: Switchboard, services: Services
) -> Iterator[Coroutine[Any, Any, None]]:
    """What looks after the disk, to be run beside the calls."""
    yield Disk(settings.storage, services.metrics).watch()
    if isinstance(services.records, Records):
        database = settings.database.url.get_secret_value()
        yield Retention(settings.keep, settings.storage, database, console.audit, switchboard, services).run()


async def _connected(
    stack: AsyncExitStack, settings: Settings, readiness: Readiness, url: str, others: Others | None = None
) -> Exchange:
    """The connection to Asterisk, which may come up after the engine. Raises `StartError` for what waiting cannot mend:
    a wrong password, an Asterisk that is too old."""
    told, clock = settings.asterisk, asyncio.get_running_loop().time
    wanted = ExchangeSettings(
        url=told.url, user=told.user, password=told.password.get_secret_value(), app=told.app, media=told.media,
        format=told.law, targets=Targets(trunk=told.trunk, teams=told.teams), start_timeout=CONNECT_WITHIN,
        takes_left_over=True, others=others,
    )  # fmt: skip
    began, reminded, pause = clock(), float("-inf"), FIRST_PAUSE
    while True:
        try:
            exchange = await stack.enter_async_context(Exchange.open(wanted))
        except ExchangeError as error:
            if not error.may_pass:
                raise StartError(str(error)) from error
            readiness.ari_problem = str(error)
        else:
            readiness.ari_problem = ""
            return exchange
        if clock() - reminded >= REMIND_EVERY:
            reminded = clock()
            log.warning("waiting for Asterisk", reason=readiness.ari_problem, seconds=round(reminded - began), http=url)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _take_calls(switchboard: Switchboard, exchange: Exchange, lost: asyncio.Event) -> None:
    await switchboard.run(exchange)
    lost.set()


async def _watch(exchange: Exchange, readiness: Readiness) -> None:
    """Keep readiness in step with the connection to Asterisk, and the metrics with its media."""
    readiness.ari_connected = exchange.connected.is_set()
    tell_media = MediaWatch(exchange.drivers, metrics).look
    while True:
        readiness.warnings = tell_media()
        await asyncio.sleep(WATCH_EVERY)
        connected = exchange.connected.is_set()
        if connected and not readiness.ari_connected:
            metrics.ari_reconnects.inc()
        readiness.ari_connected = connected


async def _serve(settings: Settings) -> int:
    started, stop, now = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop, serving = asyncio.get_running_loop(), asyncio.current_task()
    assert serving is not None

    def told_to_stop() -> None:
        if not started.is_set():
            serving.cancel()  # a start may wait long for an Asterisk that does not answer
        (now if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # a start reads the flows anyway
    taken = False
    try:
        async with running(settings) as engine:
            started.set()
            loop.add_signal_handler(signal.SIGHUP, engine.reload.ask)
            settle()
            taken = await first_of(_told(stop), _told(engine.lost)) == 1
            await first_of(_drain(engine, settings.drain_timeout), _told(now))
    except asyncio.CancelledError:
        if started.is_set() or not stop.is_set():
            raise
    if taken:  # two engines of one name would take it from each other for ever: this one gives way
        raise StartError(
            f"another client connected to Asterisk as {settings.asterisk.app!r} and gets the calls now: "
            "give every engine a Stasis application of its own (asterisk.app, HOOKFLASH_ASTERISK_APP)"
        )
    return 0


async def _drain(engine: Engine, timeout: float) -> None:
    await engine.switchboard.drain(timeout)


async def _told(event: asyncio.Event) -> None:
    await event.wait()


def serve(settings: Settings) -> int:
    """Run the engine until SIGTERM or SIGINT; the exit status. Raises `UserError` when it cannot start."""
    return uvloop.run(_serve(settings))
