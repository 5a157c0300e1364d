"""The world around a company's Asterisk, played by a second private one: callers who speak, listen, press keys and
hang up.

    async with World.open(world) as outside:
        caller = await outside.call("+12125550100")
        await caller.hears_something()
        await caller.says("I would like to talk to a person.")
        await caller.presses("1")
        await caller.hangs_up()
        said, heard = await caller.recording()

Everything is real: SIP and RTP through Asterisk, speech by flite, RFC 4733 digits, recordings by MixMonitor.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from asterisk.ari.client import Client
from asterisk.ari.errors import Conflict, NotFound
from asterisk.ari.models import Channel, StasisStart
from asterisk.ari.stream import EventStream
from asterisk.instance import Instance
from asterisk.recording import RATE, Track, write

APP = "world"
TRUNKS = ("pbx", "pbx-tls")
SPOKEN_WITHIN = 30.0  # seconds for one sentence to be made, and more than its length to be played
REFUSED_WITHIN = 5.0  # seconds for a refusal to end the call
HEADER, WIDEBAND = 44, 32000  # bytes of a WAV file's header, and of a second of what flite makes
WRITTEN_WITHIN = 5.0  # seconds for MixMonitor to close its files


class WorldError(RuntimeError):
    """The call did not go as the script expects; the text says what was awaited."""


class Caller:
    """A telephone of the world in a call to the company."""

    def __init__(self, outside: World, channel: Channel, events: EventStream, name: str) -> None:
        self.channel = channel
        self.name = name
        self.over = asyncio.Event()  # the call is over, whoever hung up
        self.cause: int | None = None  # Q.850
        self.sip_code: int | None = None  # of a refusal, such as 486
        self.rang = False  # the other side said that it rings
        self.keys = ""  # that the other side pressed
        self._outside = outside
        self._events = events
        self._heard = asyncio.Event()  # the other side is making sound
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._played: dict[str, asyncio.Event] = {}
        self._up = asyncio.Event()
        self.up_at: float | None = None  # when its recording began (the loop's clock, s)
        self._keys: asyncio.Queue[str] = asyncio.Queue()
        self._key_at: object = None  # events of a call come twice: for its trunk, and for itself

    async def _watch(self) -> None:
        async for event in self._events:
            match event.type:
                case "StasisStart":
                    self.up_at = asyncio.get_running_loop().time()
                    self._up.set()
                case "ChannelTalkingStarted":
                    self._quiet.clear()
                    self._heard.set()
                case "ChannelTalkingFinished":
                    self._heard.clear()
                    self._quiet.set()
                case "PlaybackFinished":
                    self._played.setdefault(getattr(event, "playback").id, asyncio.Event()).set()  # noqa: B009
                case "ChannelStateChange":
                    self.rang = self.rang or getattr(event, "channel").state == "Ringing"  # noqa: B009
                case "ChannelDtmfReceived" if getattr(event, "timestamp", None) != self._key_at:
                    self._key_at = getattr(event, "timestamp", None)
                    self.keys += getattr(event, "digit")  # noqa: B009
                    self._keys.put_nowait(self.keys[-1])
                case "ChannelHangupRequest":
                    self.cause = getattr(event, "cause", None)
                case "StasisEnd" | "ChannelDestroyed":
                    # The first for a call that was answered (nothing follows it), the second for one that was not.
                    self.cause = self.cause or getattr(event, "cause", None)
                    self.sip_code = getattr(event, "tech_cause", None)
                    self.over.set()

    async def answered(self, within: float = 30.0) -> None:
        """Until the company answers."""
        await self._until(self._up, within, "the call to be answered")

    async def hears_something(self, within: float = 15.0) -> None:
        """Until the other side makes sound."""
        await self._until(self._heard, within, "to hear something")

    async def hears_nothing(self, within: float = 30.0) -> None:
        """Until the other side has been silent for a moment (0.3 s)."""
        await self._until(self._quiet, within, "silence")

    async def says(self, text: str, *, wait: bool = True) -> None:
        """Speak a sentence; returns at its end, or at once when ``wait`` is false."""
        await self._play(await self._outside.speech(text), await self.seconds_of(text), wait=wait)

    async def seconds_of(self, text: str) -> float:
        """How long `says` takes for a sentence."""
        file = await self._outside.speech(text)
        return max(0, file.stat().st_size - HEADER) / WIDEBAND

    async def sounds(self, hertz: float, seconds: float = 2.0) -> None:
        """Make a tone for so long."""
        await self._play(await asyncio.to_thread(self._outside.tone, hertz, seconds), seconds, wait=True)

    async def hears_key(self, within: float = 5.0) -> str:
        """The next key that the company sends."""
        async with asyncio.timeout(within):
            return await self._keys.get()

    async def presses(self, digits: str) -> None:
        """Press keys (RFC 4733)."""
        await self.channel.send_dtmf(dtmf=digits, between=100, duration=120)

    async def hangs_up(self) -> None:
        """Hang up, if the call still is."""
        try:
            await self.channel.hangup()
        except NotFound:
            self.over.set()

    async def is_over(self, within: float = 30.0) -> None:
        """Until the call is over."""
        try:
            async with asyncio.timeout(within):
                await self.over.wait()
        except TimeoutError:
            raise WorldError(f"{self.name} waited {within:.0f} s for the end of the call") from None

    async def recording(self) -> tuple[Track, Track]:
        """(what the caller said, what the caller heard), in step; only when the call is over."""
        folder = self._outside.instance.monitor
        files = [folder / f"{self.name}-{side}.wav" for side in ("said", "heard")]
        async with asyncio.timeout(WRITTEN_WITHIN):
            while not all([await asyncio.to_thread(_closed, file) for file in files]):  # noqa: ASYNC110 - MixMonitor tells nobody
                await asyncio.sleep(0.05)
        return Track.read(files[0]), Track.read(files[1])

    async def _play(self, sound: Path, seconds: float, *, wait: bool) -> None:
        playback_id = uuid.uuid4().hex
        done = self._played.setdefault(playback_id, asyncio.Event())
        await self.channel.play_with_id(playback_id=playback_id, media=[f"sound:{sound.with_suffix('')}"])
        if wait:
            await self._until(done, SPOKEN_WITHIN + seconds, "its own words to end")

    async def _until(self, event: asyncio.Event, within: float, what: str) -> None:
        over = asyncio.ensure_future(self.over.wait())
        wanted = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait([over, wanted], timeout=within, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            wanted.cancel()
        if not event.is_set():
            reason = f"the call ended (cause {self.cause})" if self.over.is_set() else f"nothing within {within:.0f} s"
            raise WorldError(f"{self.name} waited for {what}: {reason}")


class Rung(Caller):
    """A telephone of the world that the company rings: nothing has happened yet but the INVITE."""

    async def rings(self) -> None:
        """Tell the company that it rings (180)."""
        await self.channel.ring()

    async def answers(self) -> None:
        """Take the call (200)."""
        await self.channel.answer()

    async def refuses(self, cause: int) -> None:
        """Refuse with a Q.850 cause; Asterisk makes a SIP status of it (17: 486, 16: 603, 1: 404, 38: 500)."""
        await self.channel.hangup(reason_code=str(cause))
        await self.is_over(REFUSED_WITHIN)  # another hang-up before that changes the cause (measured: 486 became 603)


class World:
    """The world, connected to its ARI. Make it with `open`."""

    def __init__(self, instance: Instance, client: Client, tasks: asyncio.TaskGroup) -> None:
        self.instance = instance
        self._client = client
        self._tasks = tasks
        self._watchers: list[asyncio.Task[None]] = []
        self._phones: dict[str, Callable[[Rung], Awaitable[None]]] = {}
        client.on_event("StasisStart", self._on_start)

    @classmethod
    @asynccontextmanager
    async def open(cls, instance: Instance) -> AsyncIterator[World]:
        """Connect; at the end every caller that is left hangs up."""
        async with (
            Client(instance.ari_url, instance.ari_user, instance.ari_password, APP) as client,
            asyncio.TaskGroup() as tasks,
        ):
            # The end of a call that nobody answered is else not told. Not all there is: device states would be part of
            # it, and Asterisk may lock up when a socket closes that is told of these (#2170; it did).
            trunks = [f"endpoint:PJSIP/{trunk}" for trunk in TRUNKS]
            await client.applications.subscribe(application_name=APP, event_source=trunks)
            outside = cls(instance, client, tasks)
            try:
                yield outside
            finally:
                for watcher in outside._watchers:
                    watcher.cancel()

    def when_rung(self, number: str, act: Callable[[Rung], Awaitable[None]]) -> None:
        """What the telephone of a number +1 212 559 XXXX does when the company rings it next. When that is done, or the
        call is over, it hangs up."""
        self._phones[number] = act

    def _on_start(self, event: StasisStart) -> None:
        act = self._phones.pop(event.args[0], None) if len(event.args) == 1 else None
        if act is not None:
            events = self._client.events(channel_id=event.channel.id)
            who = Rung(self, event.channel, events, f"caller-{event.channel.id}")
            self._watchers.append(self._tasks.create_task(self._answer(who, events, act), name=who.name))

    async def _answer(self, who: Rung, events: EventStream, act: Callable[[Rung], Awaitable[None]]) -> None:
        async with events:
            acting, over, watching = (
                asyncio.create_task(work, name=f"{who.name} {what}")
                for what, work in (("acts", _act(who, act)), ("ends", _until_over(who)), ("is followed", who._watch()))
            )
            try:
                await asyncio.wait((acting, over), return_when=asyncio.FIRST_COMPLETED)
                if acting.done():
                    acting.result()
            finally:
                for task in (acting, over, watching):
                    task.cancel()
                await asyncio.gather(acting, over, watching, return_exceptions=True)
                if not who.over.is_set():
                    await asyncio.shield(who.hangs_up())

    async def call(
        self, number: str, *, caller: str = "+12125550199", name: str = "", trunk: str = "pbx", timeout: int = 30,
        headers: Mapping[str, str] = {},
    ) -> Caller:  # fmt: skip
        """Dial the company, with these SIP headers; returns while it rings. See `Caller.answered`."""
        record = f"caller-{uuid.uuid4().hex[:8]}"
        channel_id = f"{record}-channel"
        events = self._client.events(channel_id=channel_id)
        await events.__aenter__()
        channel = await self._client.channels.originate_with_id(
            channel_id=channel_id, endpoint=f"PJSIP/{number}@{trunk}", context="world-caller", extension="s",
            priority=1, caller_id=f'"{name}" <{caller}>', timeout=timeout, formats="ulaw",
            variables={"RECORD": record} | {f"PJSIP_HEADER(add,{key})": value for key, value in headers.items()},
        )  # fmt: skip
        who = Caller(self, channel, events, record)
        self._watchers.append(self._tasks.create_task(self._follow(who, events), name=record))
        return who

    async def _follow(self, who: Caller, events: EventStream) -> None:
        try:
            await who._watch()
        finally:
            events.close()
            await asyncio.shield(who.hangs_up())

    def tone(self, hertz: float, seconds: float) -> Path:
        """A tone as a sound file that Asterisk can play."""
        file = self.instance.sounds / f"tone-{hertz:.0f}-{seconds * 1000:.0f}.wav"
        samples = (int(8000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(int(seconds * RATE)))
        write(file, Track(array.array("h", samples)))
        return file

    async def speech(self, text: str, voice: str = "slt") -> Path:
        """A sentence as a sound file that Asterisk can play."""
        file = self.instance.sounds / f"said-{uuid.uuid5(uuid.NAMESPACE_OID, voice + text).hex}.wav16"
        if not file.exists():
            part = file.with_name(uuid.uuid4().hex)  # nobody else plays it before it is whole
            process = await asyncio.create_subprocess_exec(
                *self.instance.installation.flite("-voice", voice, "-t", text, "-o", str(part)),
                env=dict(self.instance.installation.env),
            )
            async with asyncio.timeout(SPOKEN_WITHIN):
                if await process.wait() != 0:
                    raise WorldError(f"flite could not speak {text!r}")
            part.rename(file)
        return file


async def _act(who: Rung, act: Callable[[Rung], Awaitable[None]]) -> None:
    with contextlib.suppress(NotFound, Conflict, WorldError):  # the company has hung up meanwhile
        await act(who)


async def _until_over(who: Caller) -> None:
    await who.over.wait()


def _closed(file: Path) -> bool:
    """Whether a WAV file was finished: MixMonitor writes its length last."""
    try:
        data = file.read_bytes()
    except OSError:
        return False
    return len(data) > 44 and int.from_bytes(data[40:44], "little") == len(data) - 44
