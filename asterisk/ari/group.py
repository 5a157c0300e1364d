"""What the generated resources (`client.channels`, `client.bridges`, …) have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from asterisk.ari.errors import BadResponse
from asterisk.ari.record import Record
from asterisk.ari.rest import Rest

if TYPE_CHECKING:
    from asterisk.ari.client import Client

RecordT = TypeVar("RecordT", bound=Record)


class Group:
    """The operations of one resource: asks through `rest`, and gives records that live with `client`."""

    def __init__(self, rest: Rest, client: Client) -> None:
        self._rest = rest
        self._client = client

    def _one(self, kind: type[RecordT], data: Any) -> RecordT:
        if not isinstance(data, dict):
            raise BadResponse(200, f"no {kind.__name__} but {data!r:.80}; is this Asterisk?", "read", kind.__name__)
        return kind.parse(data, self._client)

    def _many(self, kind: type[RecordT], data: Any) -> list[RecordT]:
        if not isinstance(data, list):
            raise BadResponse(200, f"no list of {kind.__name__} but {data!r:.80}", "read", kind.__name__)
        return [self._one(kind, each) for each in data]
