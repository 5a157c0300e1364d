"""`hookflash demo`: a real call on this machine, narrated and measured.

Two private Asterisks: `pbx` is the company's, `world` is the carrier, the caller and Teams. The engine is the one that
`hookflash serve` runs. What is printed at the end is measured on the recordings that the world's Asterisk made.
"""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from asterisk import sandbox
from asterisk.instance import Instance
from asterisk.recording import Track, write_stereo
from asterisk.world import Caller, World, WorldError
from engine.demo_load import keep_busy
from engine.errors import UserError
from engine.record import CallRecord
from engine.serve import Engine, running
from engine.settings import AsteriskSettings, ConsoleSettings, DatabaseSettings, HttpSettings, Settings
from engine.settings_sources import load_settings
from engine.voice_checks import lacks
from engine.voices import Voices

FLOWS = Path(__file__).parent.parent / "flows" / "examples" / "demo"
FOLDER = Path("var/demo")
ASTERISKS = FOLDER.absolute() / "asterisk"
NUMBER = "+12125550100"  # the company's
TEAMS = "12125561000"  # a Teams user of the world, who answers with a tone of 1 kHz
THEIR_TONE, OUR_TONE = 1000.0, 440.0  # Hz
SILENT_WITHIN = (
    0.6  # seconds from the caller's first sound over the voice to silence; most of it is hearing that it is speech
)
PURE = 0.5  # share of a recording's energy that a tone must have

console = Console(highlight=False)


class DemoError(UserError):
    """The demo did not go as it must; the text says what was awaited."""

    exit_code = 1


@dataclass(slots=True)
class Story:
    """Tells what happens, with the seconds since the call began."""

    began: float = 0.0

    def tell(self, text: str) -> None:
        """One line."""
        at = f"{time.monotonic() - self.began:6.2f} s" if self.began else " " * 8
        console.print(f"[dim]{at}[/]  {text}")


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table: what, how much, and whether that is good enough (None: no bound)."""

    what: str
    value: str
    bound: str = ""
    good: bool | None = None


def main(voice: str = "rehearsal", stay: bool = False, load: int = 0) -> int:
    """Run the demo; the exit status. ``load``: so many calls at a time afterwards. Raises `UserError` with what went
    wrong."""
    check_voice(voice)
    logging.getLogger().setLevel(logging.ERROR)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    try:
        return uvloop.run(_demo(voice, stay, load))
    except (sandbox.SandboxError, sandbox.UnpackError, WorldError, TimeoutError) as error:
        raise DemoError(f"demo: failed: {str(error) or 'something took too long'}") from error


async def _demo(voice: str, stay: bool, load: int) -> int:
    story = Story()
    with _spent(story, "The sandbox is ready"):
        installation = await asyncio.to_thread(sandbox.locate)
    story.tell(f"{installation.banner}, twice: [b]pbx[/] is the company's, [b]world[/] is everybody else")
    async with sandbox.pair(ASTERISKS, installation=installation) as (pbx, world):
        settings = _settings(pbx, voice, json.dumps(installation.flite()))
        async with running(settings) as engine, World.open(world) as outside:
            story.tell(f"The engine is ready: media by {engine.exchange.media}, health at {engine.url}/readyz")
            story.tell(f"What a supervisor sees of it: [b]{engine.url}/console/[/]")
            try:
                caller, record = await _call(story, engine, outside)
            except (WorldError, TimeoutError) as error:
                raise DemoError(f"demo: failed: {_why(error, engine)}") from error
            said, heard = await caller.recording()
            theirs = await _recording_of(world, TEAMS)
            rows = _measure(record, said, heard, theirs, voice)
            write_stereo(FOLDER / "call.wav", said, heard)
            (FOLDER / "call.json").write_text(record.model_dump_json(indent=2))
            (FOLDER / "hookflash.yaml").write_text(f"database: {{url: 'sqlite+aiosqlite:///{FOLDER}/hookflash.db'}}\n")
            _report(rows, record)
            if stay or load:
                await _stay(pbx, outside, engine, load)
    bad = [row.what for row in rows if row.good is False]
    if bad:
        raise DemoError(f"demo: failed: {', '.join(bad)}")
    console.print("[bold green]demo: ok[/]")
    return 0


def _why(error: Exception, engine: Engine) -> str:
    """What the caller waited for in vain, and what the engine knows of it."""
    awaited = str(error) or "something took too long"
    told = [call.record.error for call in engine.switchboard.calls.values() if call.record.error]
    return "; the call's record says: ".join([awaited, *told])


def check_voice(voice: str) -> None:
    """Whether the voice has what it needs, before anything starts; the offline one comes with the demo's Asterisk.

    Raises `DemoError` with what to set.
    """
    if voice == "rehearsal":
        return
    if missing := asyncio.run(_missing(voice)):
        raise DemoError(f"demo: failed: {missing}; or leave out --voice (VOICE=) for the offline voice")


async def _missing(voice: str) -> str:
    """What the voice lacks, in words; "" for nothing."""
    voices = Voices(load_settings().voice_settings())
    try:
        missing = await lacks(voices, voice)
        if not missing and not voices.get(voice).capabilities.formats:
            missing = f"'{voice}' has no voice: it reads and writes, but cannot talk"
        return missing
    finally:
        await voices.close()


def _settings(pbx: Instance, voice: str, flite: str) -> Settings:
    """The settings of this place (keys and URLs of voices), with everything else as the demo needs it."""
    given = load_settings()
    return given.model_copy(
        update={
            "name": "demo",
            "asterisk": AsteriskSettings(
                url=pbx.ari_url,
                user=pbx.ari_user,
                password=SecretStr(pbx.ari_password),
                app=pbx.application,
                trunk="carrier",
            ),
            "flows": (FLOWS,),
            "database": DatabaseSettings(url=SecretStr(f"sqlite+aiosqlite:///{FOLDER}/hookflash.db")),
            "http": HttpSettings(port=0),
            "console": ConsoleSettings(tokens=FOLDER / "tokens.json", audit=FOLDER / "audit.jsonl"),
            "storage": FOLDER,
            "voice": voice,
            "voices": {**given.voices, "rehearsal": {"flite": SecretStr(flite)}},
            "speech": "rehearsal",
            "caller_id": None,
        }
    )


async def _call(story: Story, engine: Engine, outside: World) -> tuple[Caller, CallRecord]:
    """The call itself; what the caller does and what comes of it."""
    story.began = time.monotonic()
    story.tell(f"A caller of the world dials {NUMBER}; the carrier sends an INVITE to the pbx")
    caller = await outside.call(NUMBER, name="Ada")
    await caller.answered()
    story.tell("The flow has answered")
    record = next(iter(engine.switchboard.calls.values())).record
    await caller.hears_something()
    story.tell("The caller hears the greeting")
    await asyncio.sleep(2.2)  # listens for a moment, as people do
    story.tell("The caller speaks over it: «Excuse me, I have a question.»")
    await caller.says("Excuse me, I have a question.")
    await caller.hears_nothing(within=8.0)
    story.tell("The voice fell silent; now it answers")
    await caller.hears_something()
    await asyncio.sleep(1.0)
    story.tell("The caller presses 0: a person, please")
    await caller.presses("0")
    await _until_connected(story, record)
    story.tell("Both are connected; each makes a tone, so that the recordings can prove who hears whom")
    await caller.sounds(OUR_TONE, 2.0)
    await asyncio.sleep(0.5)
    story.tell("The caller hangs up")
    await caller.hangs_up()
    await caller.is_over()
    await _until(lambda: not engine.switchboard.calls, 10, "the engine to end the call")
    return caller, record


async def _until_connected(story: Story, record: CallRecord) -> None:
    """Follow the hand-off in the record."""
    told: list[str] = []

    def connected() -> bool:
        for attempt in record.attempts:
            if attempt.status not in ("cancelled", "answered") and attempt.target not in told:
                story.tell(f"{attempt.target} is {attempt.status} (SIP {attempt.sip_code}); the next one is rung")
                told.append(attempt.target)
        return bool(record.attempts) and record.attempts[-1].status == "answered"

    await _until(connected, 30, "a person to answer")
    story.tell(f"{record.attempts[-1].target} answers, over TLS and SRTP")


async def _recording_of(world: Instance, number: str) -> Track:
    """What a number of the world heard."""

    def files() -> list[Path]:
        return sorted(world.monitor.glob(f"{number}-*-heard.wav"))

    await _until(lambda: bool(files()), 5, "the person's recording")
    await world.idle()
    return Track.read(files()[-1])


async def _until(holds: Callable[[], bool], within: float, what: str) -> None:
    """Look until something holds. Raises `DemoError`."""
    try:
        async with asyncio.timeout(within):
            while not holds():  # noqa: ASYNC110 - files and records announce nothing
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise DemoError(f"demo: failed: waited {within:.0f} s for {what}") from None


def _measure(record: CallRecord, said: Track, heard: Track, theirs: Track, voice: str) -> list[Measured]:
    spoke, over = said.bursts()[0]
    stopped = max((end for start, end in heard.bursts(0.2) if start < spoke and end > spoke), default=spoke)
    answered = next((attempt for attempt in record.attempts if attempt.status == "answered"), None)
    person = heard.part(heard.seconds - 2.0, heard.seconds - 0.2)
    sip = ", ".join(f"{a.target} {a.status} {a.sip_code} in {a.ring_ms} ms" for a in record.attempts)
    first = heard.bursts()[0][0] if heard.bursts() else 0.0
    ours = theirs.part(theirs.seconds - 2.4, theirs.seconds - 0.6)
    return [
        Measured("call to voice session", f"{record.timings.get('voice_ready_ms', 0):.0f} ms"),
        Measured("call to first audio from the voice", f"{record.timings.get('first_audio_ms', 0):.0f} ms"),
        Measured("answer to first sound at the caller", f"{first * 1000:.0f} ms"),
        Measured("interruption: speech event to flushed line", f"{record.timings.get('barge_in_ms', 0):.1f} ms"),
        Measured(
            "interruption: caller's first sound to silence, on the recording", f"{(stopped - spoke) * 1000:.0f} ms",
            f"under {SILENT_WITHIN * 1000:.0f} ms", stopped - spoke < SILENT_WITHIN and over > spoke,
        ),
        Measured("attempts", sip, "busy 486, then answered", [a.sip_code for a in record.attempts] == [486, 200]),
        Measured("hand-off answered after", f"{answered.ring_ms if answered else 0} ms", "", answered is not None),
        *(
            Measured(what, f"{share:.0%} of the sound", f"over {PURE:.0%}", share > PURE)
            for what, share in (
                (f"caller hears the person's {THEIR_TONE:.0f} Hz", person.tone_share(THEIR_TONE)),
                (f"person hears the caller's {OUR_TONE:.0f} Hz", ours.tone_share(OUR_TONE)),
            )
        ),
        Measured("outcome on record", record.outcome, "handed_off", record.outcome == "handed_off"),
        Measured("voice", voice),
    ]  # fmt: skip


def _report(rows: list[Measured], record: CallRecord) -> None:
    table = Table(title="What was measured", title_justify="left", show_edge=False, pad_edge=False)
    for heading in ("", "measured", "wanted", ""):
        table.add_column(heading)
    for row in rows:
        mark = "" if row.good is None else "[green]yes[/]" if row.good else "[bold red]NO[/]"
        table.add_row(row.what, row.value, row.bound, mark)
    console.print()
    console.print(table)
    console.print(f"\nrecord: {FOLDER}/call.json   sound: {FOLDER}/call.wav (left: caller, right: the other side)")
    console.print(f"timeline: .venv/bin/hookflash calls -c {FOLDER}/hookflash.yaml show {record.id}")


async def _stay(pbx: Instance, outside: World, engine: Engine, load: int) -> None:
    console.print(
        f"\nBoth Asterisks run until Ctrl-C: pbx SIP {pbx.sip_port}, ARI {pbx.ari_url}; "
        f"world SIP {outside.instance.sip_port}."
    )
    console.print(f"The engine's health: {engine.url}/readyz, metrics: {engine.url}/metrics")
    console.print(f"The console: [b]{engine.url}/console/[/]")
    if load:
        console.print(f"{load} callers keep it busy")
        await keep_busy(outside, NUMBER, load)
    await asyncio.Event().wait()


@contextmanager
def _spent(story: Story, what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    story.tell(f"{what} ({time.monotonic() - started:.1f} s)")
