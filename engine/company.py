"""Who keeps the caller company while phones ring: ringback, music, or an AI voice that talks with them.

The AI has no say in the call: no tools, no exits, and it never hears the person who is rung. It ends in the middle of a
word when a person is to be connected; its session is closed behind the flow's back, so that nobody waits for it. Until
its session is open, when it fails and when it has nothing more to say, the caller hears ringback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import structlog

from engine.beside import beside
from engine.comfort import audio_again, keep_company
from engine.conversation import Conversation
from engine.line import LineError, LineGone
from engine.outcome import Outcome
from engine.playout import Playout
from engine.succession import Seat, Succession
from engine.toolbox import Toolbox
from engine.turn import TurnOptions
from engine.verb import unknown
from engine.written import named, talkers
from flows.json_schema import plain
from flows.problems import Problem, Where
from flows.scope import Scope
from providers.voice import ALAW, ULAW, Session, Turns, Utterance, VoiceError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.call import Call

log = structlog.get_logger()

Comfort = Literal["ringback", "music", "ai"]

CONNECT_WITHIN = 5.0  # seconds; the caller hears ringback meanwhile
OPTIONS = TurnOptions(silence=10.0, reprompts=30)  # ten minutes of nobody speaking: ringback will do

INSTRUCTIONS = (
    "You keep a caller company on the telephone while the phones of colleagues ring for them. Talk in the language of "
    "the caller. Say little, one or two short sentences at a time, and listen when they want to talk. You do not know "
    "who will answer, or when: promise neither. Whatever they need is for the person who answers: give no advice, take "
    "no orders, ask for no data, and never say that you end the call or connect it now."
)

# What is said first, and when nobody has spoken for a while, by language (ISO 639); other languages hear English.
WORDS = {
    "en": ("I am trying to reach somebody for you. I stay with you until then.", "It is still ringing. Thank you."),
    "de": ("Ich versuche, jemanden für Sie zu erreichen. Solange bleibe ich bei Ihnen.", "Es klingelt noch. Danke."),
    "es": ("Estoy intentando localizar a alguien para usted. Me quedo con usted.", "Sigue sonando. Gracias."),
    "fr": ("J'essaie de joindre quelqu'un pour vous. Je reste avec vous.", "Ça sonne encore. Merci."),
    "it": ("Sto cercando qualcuno per Lei. Intanto resto in linea.", "Sta ancora squillando. Grazie."),
    "nl": ("Ik probeer iemand voor u te bereiken. Ik blijf zolang bij u.", "De telefoon gaat nog over. Dank u."),
    "pt": ("Estou a tentar encontrar alguém para si. Fico consigo.", "Ainda está a chamar. Obrigado."),
}


class Company:
    """Begins and ends it, as often as the hand-off needs. It runs in ``tasks`` and is gone with them."""

    def __init__(self, call: Call, tasks: asyncio.TaskGroup, kind: Comfort, music: Path | None = None) -> None:
        self._call = call
        self._tasks = tasks
        self._kind = kind
        self._music = music
        self._task: asyncio.Task[None] | None = None
        self._met = False  # the voice has said why it is there

    async def begin(self) -> None:
        """Let the caller hear something, if they do not yet; without any audio of ours they can still be put through.

        Raises `LineGone`.
        """
        if self._task is not None:
            return
        try:
            playout = await self._call.playout()
        except LineGone:
            raise
        except LineError as error:
            log.warning("the caller hears nothing while targets are rung", error=str(error))
            return
        self._task = self._tasks.create_task(self._keep(playout), name="company")

    async def end(self) -> None:
        """Silence, at once."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    async def _keep(self, playout: Playout) -> None:
        """On the audio that the call has, and on the next when that is lost."""
        kind = self._kind
        while True:
            if kind == "ai":
                await self._speak(playout)
                kind = "ai" if playout.closed.is_set() else "ringback"
            if kind != "ai":
                await keep_company(playout, kind, self._music)
            playout = await audio_again(self._call, playout)

    async def _speak(self, playout: Playout) -> None:
        """A voice talks with the caller, until it or the audio fails."""
        try:
            await self._talk(playout)
        except VoiceError as error:
            log.warning("no voice keeps the caller company, they hear ringback", error=str(error))
        except LineGone:
            raise
        except Exception:  # a mistake in a provider, perhaps a plugin's: the phones ring on
            log.exception("the voice that kept the caller company failed in a way that it does not know")

    async def _talk(self, playout: Playout) -> None:
        """Until the voice fails. Raises `VoiceError` when it cannot be had."""
        name, session = _session(self._call)
        provider = self._call.services.voices.get(name)
        if not provider.capabilities.understands:
            raise VoiceError(f"{name} does not understand speech", code="capability")
        first, again = WORDS.get((session.language or "en").split("-")[0].lower(), WORDS["en"])
        succession = Succession(self._call, [name], lambda _, notes: _noted(session, notes), CONNECT_WITHIN)
        try:
            talk = Conversation(
                self._call, playout, await _connected(succession, playout), succession, Toolbox(self._call, exits=()),
                OPTIONS, greeting=again if self._met else first, reprompt=again,
            )  # fmt: skip
            self._met = True
            outcome: Outcome = await talk.run()
        finally:
            succession.end()
        log.warning("the voice keeps the caller company no more, they hear ringback", reason=outcome.detail)


async def _connected(succession: Succession, playout: Playout) -> Seat:
    """The session, with ringback until it is open. Raises `VoiceError`."""
    async with beside(keep_company(playout, "ringback")):
        return await succession.first()


def _noted(session: Session, notes: str) -> Session:
    return replace(session, instructions="\n\n".join(filter(None, (session.instructions, notes))))


def _session(call: Call) -> tuple[str, Session]:
    """The voice of the last talk of this call; without any, the flow's own, or the engine's."""
    if call.talk is not None:
        name, last = call.talk
    else:
        usual = plain(call.walker.flow.defaults.get("converse", {}))
        name = next(iter(named(usual)), call.services.default_voice)
        last = Session(
            voice=_of(usual.get("voice"), name), language=usual.get("language"), model=_of(usual.get("model"), name),
            format=ALAW if call.services.law == "alaw" else ULAW, options=usual.get("options", {}).get(name, {}),
        )  # fmt: skip
    language = "" if last.language is None else f" They speak {last.language} unless you hear another language."
    said = tuple(Utterance(entry.role, entry.text) for entry in call.record.transcript if entry.role != "system")
    return name, replace(last, instructions=INSTRUCTIONS + language, tools=(), turns=Turns(), history=said)


def _of(value: str | Mapping[str, str] | None, name: str) -> str | None:
    """What is said for this provider, where others may be said something else."""
    return value.get(name) if isinstance(value, Mapping) else value


def capability(scope: Scope, where: Where) -> Iterable[Problem]:
    """Whether a voice that the flow names can keep somebody company; the engine's own is not known here."""
    if scope.voices is None:
        return
    usual = named(plain(scope.flow.defaults.get("converse", {})))
    known = [name for name in talkers(scope.flow) if name in scope.voices]
    if usual and usual[0] not in known:
        yield unknown(scope, where, "voice", usual[0], scope.voices)
    elif known and not any(scope.voices[name].understands for name in known):
        message = f"the voice '{known[0]}' does not understand speech: it can keep nobody company"
        yield scope.problem(where, "E203", message)
