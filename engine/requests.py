"""Asks an endpoint for a call: the request goes on the call's record, without what was sent and what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from engine.discretion import is_secret, outline
from engine.http import HttpFailedError, Reply
from engine.record import Request

if TYPE_CHECKING:
    from engine.call import Call
    from flows.flow import Step


async def ask(
    call: Call, endpoint: str, method: str, path: str, *, json: Any = None, headers: Mapping[str, str] | None = None,
    timeout: float | None = None, idempotency_key: str | None = None, keeps: Iterable[str] = (),
    step: Step | None = None,
) -> Reply:  # fmt: skip
    """One request to an endpoint of `resources.yaml`, as `engine.http.Http.request` does it. Raises `HttpFailedError`.

    Of the answer the record gets the outline, and the fields ``keeps`` of an object as they are: the flow names them
    as what it works with. What is sensitive, or is put into what is, stays an outline. ``step``: who asks, when that
    may be over by now.
    """
    clock, step = asyncio.get_running_loop().time, step or call.walker.step
    at = call.services.clock.now()
    entry = Request(endpoint=endpoint, method=method, path=path, at=at, step="" if step is None else step.path)
    call.record.requests.append(entry)
    started = clock()
    try:
        reply = await call.services.http.request(
            call.library.resources.endpoints[endpoint], method, path, json=json, headers=headers, timeout=timeout,
            idempotency_key=idempotency_key,
        )  # fmt: skip
        entry.outcome, entry.status = "ok", reply.status
    except HttpFailedError as error:
        entry.outcome, entry.status = error.kind, error.status
        raise
    finally:
        entry.ms = int((clock() - started) * 1000)
    secret = step is not None and is_secret(call.walker, step)
    entry.answer = outline(reply.body, secret=secret)
    if isinstance(reply.body, Mapping) and not secret:
        entry.answer |= {name: reply.body[name] for name in keeps if name in reply.body}
    return reply
