"""The base of the generated models: forgiving to read, and alive.

A record read from Asterisk keeps fields that this version does not know (`extra="allow"`), has a default for every
field, and drops a value of the wrong type rather than fail the call that depends on the rest. A record of something
that ARI can act on is alive: it carries its client, so that `channel.answer()` and `channel.on_event(...)` work.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError

if TYPE_CHECKING:
    from asterisk.ari.client import Client
    from asterisk.ari.dispatch import Subscription
    from asterisk.ari.models import Event

    EventT = TypeVar("EventT", bound=Event)

logger = logging.getLogger(__name__)

Many = str | Sequence[str]
"""One value or several; ARI takes them separated by commas."""

EPOCH = datetime.fromtimestamp(0, UTC)
"""Stands for a time that Asterisk did not tell."""


class Record(BaseModel):
    """Something read from Asterisk. Unknown fields are kept in `model_extra`; every field has a default."""

    # Built at first use: 85 validators at import would cost every start, a call needs about ten.
    model_config = ConfigDict(extra="allow", defer_build=True, coerce_numbers_to_str=True, populate_by_name=True)

    _client: Client | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Remember the client that read this record (handed down as pydantic's validation context)."""
        self._client = context

    @property
    def client(self) -> Client:
        """The client that read this record; `RuntimeError` for a record made by hand."""
        if self._client is None:
            raise RuntimeError(f"this {type(self).__name__} was not read by a client, so nothing can be asked of it")
        return self._client

    @classmethod
    def parse(cls, data: Mapping[str, Any], client: Client | None = None) -> Self:
        """Read what Asterisk sent. Values of the wrong type are left out (their defaults stand) and logged at debug."""
        try:
            return cls.model_validate(data, context=client)
        except ValidationError as error:
            logger.debug("%s from Asterisk is not as described, read without these: %s", cls.__name__, error)
            places = [each["loc"] for each in error.errors(include_url=False)]
            return cls.model_validate(_without(data, places), context=client)


def _without(data: Mapping[str, Any], places: Sequence[tuple[int | str, ...]]) -> Any:
    """A copy of `data` without the values at `places`; later list elements go first, so that indices stay true."""
    left: Any = copy.deepcopy(dict(data))
    for place in sorted(set(places), key=lambda place: [(isinstance(key, int), key) for key in place], reverse=True):
        holder = left
        for key in place[:-1]:
            holder = holder[key]
        del holder[place[-1]]
    return left


class Live(Record):
    """A record of something that ARI can act on: a channel, a bridge, a playback, a recording, an endpoint."""

    prefix: ClassVar[str]
    identity: ClassVar[tuple[str, ...]]

    @property
    def key(self) -> str:
        """How ARI's event sources name this object: `channel:<id>`, `bridge:<id>`, `endpoint:PJSIP/<name>`."""
        return f"{self.prefix}:{'/'.join(getattr(self, name) for name in self.identity)}"

    @classmethod
    def key_in(cls, data: Mapping[str, Any]) -> str:
        """The key of the object that `data`, its JSON, describes."""
        return f"{cls.prefix}:{'/'.join(str(data.get(name, '')) for name in cls.identity)}"

    def on_event(
        self, event: str | type[EventT], callback: Callable[[Self, EventT], Awaitable[object] | object]
    ) -> Subscription:
        """Call `callback(self, event)` for each event of that type about this very object, in order."""
        return self.client.on_object_event(self, event, callback)
