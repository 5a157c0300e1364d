"""The last resort: a flow failed and does not say what then. The caller reaches a person, or hears an apology."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from engine.audio import reorder
from engine.handoff import Plan, Round, hand_off, stay_connected
from engine.line import LineError, LineGone
from engine.outcome import StepError, Stop
from engine.whom import dialled
from providers.voice import VoiceError

if TYPE_CHECKING:
    from engine.call import Call

log = structlog.get_logger()

APOLOGY = "We are sorry, we cannot take your call right now. Please call again later."
TIME_IS_UP = "We are sorry, the time for this call is over. Please call again. Goodbye."
SPOKEN_WITHIN = 3.0  # seconds; the synthesiser may be what failed, and the caller has waited for it before
TEMPORARY_FAILURE = 41  # Q.850


async def rescue(call: Call) -> Stop:
    """Ring the safety destination; else give the call back to the dialplan; else apologise. How the call then ends.

    Whatever goes wrong in one of them, the next is tried. Raises `LineGone`.
    """
    destination = call.fallback
    if destination is not None:
        try:
            targets = tuple(dialled((destination,), call.library.resources))
            plan = Plan(rounds=[Round(targets, timeout=60.0)], timeout=60.0)
            result = await hand_off(call, plan, "safety")
            if result.leg is not None:
                await stay_connected(call, result.leg)
                return Stop(by="target")
            log.error("the safety destination did not answer", target=destination, status=result.status)
        except LineGone:
            raise
        except (LineError, StepError) as error:
            log.error("the safety destination could not be rung", target=destination, error=str(error))
        except Exception as error:  # a mistake, perhaps the one that brought the call here
            log.exception("the safety destination could not be rung", target=destination, error=_words(error))
    try:
        if await call.line.give_back():
            return Stop(by="engine", result="given back to the dialplan", failed=True)
    except LineError as error:
        log.warning("the call could not be given back to the dialplan", error=str(error))
    except Exception as error:
        log.exception("the call could not be given back to the dialplan", error=_words(error))
    await tell(call, APOLOGY)
    return Stop(by="engine", cause=TEMPORARY_FAILURE, failed=True)


async def tell(call: Call, words: str) -> None:
    """Say something for the engine itself before a call ends; a tone where it cannot be spoken. Raises `LineGone`."""
    try:
        playout = await call.playout()
        try:
            sound = await call.services.speech.audio(words, playout.law, spent=call.spent, within=SPOKEN_WITHIN)
        except VoiceError as error:
            log.error("the last words cannot be spoken", words=words, error=str(error))
            sound = reorder(playout.law) * 6
        except Exception as error:  # the tone needs none of what speaks
            log.exception("the last words cannot be spoken", words=words, error=_words(error))
            sound = reorder(playout.law) * 6
        await playout.play(sound)
    except LineGone:
        raise
    except LineError as error:
        log.error("not even a tone could be played", words=words, error=str(error))
    except Exception as error:
        log.exception("not even a tone could be played", words=words, error=_words(error))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
