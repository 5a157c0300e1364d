"""What stands in for the world in a test that is made from a call: endpoints, people who were rung, the AI."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from engine.discretion import WORDS
from engine.record import Attempt, CallRecord, Leg, Request, Written
from engine.replay.written import Noted, seconds
from engine.run import UNTIL_GONE
from engine.steering import BY_SUPERVISOR

MACHINE: Final = "You have reached the mailbox. I cannot answer at the moment. Please speak after the tone."
UNREAD: Final = "the record has the form of the answer only: fill in the texts (…) and numbers (0) that matter"
HIDDEN_ANSWER: Final = "what the text model wrote is not on record as it was: fill in what fits for … and 0"
FORBIDDEN: Final = "may not be dialled"  # words of `flows.dialling`


def mocks(record: CallRecord) -> dict[str, Any]:
    """The section ``mocks`` of the test."""
    made: dict[str, Any] = {}
    if http := _http(record):
        made["http"] = http
    if targets := _targets(record):
        made["targets"] = targets
    if text := _text(record):
        made["text"] = text
    if is_unreachable(record):
        made["voice"] = "unreachable"
    return made


def is_unreachable(record: CallRecord) -> bool:
    """Whether no talk of the call ever came about."""
    talks = [step for step in record.steps if step.verb == "converse"]
    heard = any(said.role == "caller" or said.improvised for said in record.transcript)
    return bool(talks) and not heard and all(step.outcome == "provider_error" for step in talks)


# ── Endpoints ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _http(record: CallRecord) -> list[Any]:
    """An answer for each request; the same answer to the same request is written once."""
    answers: list[tuple[dict[str, Any], dict[str, Any], str, int]] = []
    last: dict[str, int] = {}
    for request in record.requests:
        match = _match(request, record.id)
        key = str(match)
        answer, note = _answer(request)
        before = last.get(key)
        if before is not None and answers[before][1:3] == (answer, note):
            answers[before] = (match, answer, note, answers[before][3] + 1)
        else:
            last[key] = len(answers)
            answers.append((match, answer, note, 1))
    made = []
    for index, (match, answer, note, times) in enumerate(answers):
        entry = {"match": match, **answer, **({} if last[str(match)] == index else {"times": times})}
        made.append(Noted(entry, note) if note else entry)
    return made


def _match(request: Request, call_id: str) -> dict[str, Any]:
    """Which requests are meant; a call's id in a path is another one in the test."""
    match = {"endpoint": request.endpoint, "method": request.method}
    path = request.path.partition(call_id)[0] + "*" if call_id in request.path else request.path
    return {**match, "path": path} if path else match


def _answer(request: Request) -> tuple[dict[str, Any], str]:
    """What it answered, and what must be said of that."""
    late = {"delay": seconds(request.ms / 1000)} if request.ms is not None and request.ms >= 1000 else {}
    if request.outcome == "timeout":
        return {"timeout": True}, ""
    if request.outcome == "ok":
        status = {} if request.status == 200 else {"status": request.status}
        body = {} if request.answer is None else {"json": request.answer}
        return {**body, **status, **late}, UNREAD if _has_gaps(request.answer) else ""
    if request.outcome == "cancelled":
        return {"delay": seconds((request.ms or 0) / 1000 + 60)}, "the call was over before it answered"
    if request.status >= 300:
        return {"status": request.status, **late}, ""
    return {"status": 503, **late}, "it gave no answer that could be used; the log of the call says why"


def _has_gaps(answer: Any) -> bool:
    if isinstance(answer, dict):
        return any(_has_gaps(item) for item in answer.values())
    if isinstance(answer, list):
        return any(_has_gaps(item) for item in answer)
    return answer == WORDS or (answer == 0 and not isinstance(answer, bool))


# ── The text model ────────────────────────────────────────────────────────────────────────────────────────────────────


def _text(record: CallRecord) -> list[Any]:
    """What it wrote, in order; the same twice is written once."""
    answers: list[tuple[dict[str, Any], str, int]] = []
    for written in record.written:
        answer, note = _wrote(written)
        if answers and answers[-1][:2] == (answer, note):
            answers[-1] = (answer, note, answers[-1][2] + 1)
        else:
            answers.append((answer, note, 1))
    made = []
    for index, (answer, note, times) in enumerate(answers):
        entry = answer if index == len(answers) - 1 else {**answer, "times": times}
        made.append(Noted(entry, note) if note else entry)
    return made


def _wrote(written: Written) -> tuple[dict[str, Any], str]:
    late = {"delay": seconds(written.ms / 1000)} if written.ms is not None and written.ms >= 1000 else {}
    if written.outcome == "ok":
        return {"answer": written.answer, **late}, HIDDEN_ANSWER if WORDS in written.answer else ""
    if written.outcome == "cancelled":
        return {"answer": "", "delay": seconds((written.ms or 0) / 1000 + 60)}, "the call went on before it answered"
    return {"fails": True, **late}, ""


# ── People who were rung ──────────────────────────────────────────────────────────────────────────────────────────────


def _targets(record: CallRecord) -> dict[str, Any]:
    """What became of each target, ringing by ringing."""
    found: dict[str, list[Any]] = {}
    for attempt in record.attempts:
        if FORBIDDEN not in attempt.reason and attempt.step not in ("safety", BY_SUPERVISOR):
            found.setdefault(attempt.target, []).append(_behaviour(attempt, _leg(attempt, record.legs), record))
    return {target: _shortest(rings) for target, rings in found.items()}


def _shortest(rings: list[Any]) -> Any:
    """A list, without what its last entry says anyway."""
    while len(rings) > 1 and rings[-1] == rings[-2]:
        rings.pop()
    return rings if len(rings) > 1 else rings[0]


def _leg(attempt: Attempt, legs: Iterable[Leg]) -> Leg | None:
    return next((leg for leg in legs if leg.party == attempt.target and leg.started == attempt.started), None)


def _behaviour(attempt: Attempt, leg: Leg | None, record: CallRecord) -> Any:
    """How a target answered that ringing."""
    if leg is None:  # not even dialled; or the caller had gone by then
        return _refusal(attempt) if attempt.status == "cancelled" else "impossible"
    if leg.answered is None:
        return _refusal(attempt)
    answers: dict[str, Any] = {"answer": seconds((leg.answered - attempt.started).total_seconds())}
    if attempt.key and attempt.key_ms is not None:
        answers |= {"keys": attempt.key, "keys_after": seconds(attempt.key_ms / 1000)}
    if attempt.status == "machine":
        return Noted({**answers, "says": MACHINE}, "an answering machine; what it said is not on record")
    if leg.ended is not None and _hung_up(attempt, record):
        answers["hangs_up_after"] = seconds((leg.ended - leg.answered).total_seconds())
    return answers


def _refusal(attempt: Attempt) -> Any:
    """Nobody answered. Who rang until it was enough rings for ever: the flow's own clock ends it."""
    if attempt.status in ("cancelled", "no_answer"):
        return "no_answer"
    status = attempt.status if attempt.status in ("busy", "declined", "unavailable") else "failed"
    return {status: seconds(attempt.ring_ms / 1000)}


def _hung_up(attempt: Attempt, record: CallRecord) -> bool:
    """Whether it was they who hung up."""
    if attempt.status == "declined":
        return not attempt.key
    talks = (step for step in record.steps if step.detail == UNTIL_GONE and step.started <= attempt.started)
    last = max((one.started for one in record.attempts if one.status == "answered"), default=attempt.started)
    return attempt.status == "answered" and not (attempt.started == last and any(talks))
