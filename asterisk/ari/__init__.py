"""A client for the Asterisk REST Interface on asyncio, with ari-py's vocabulary and types.

    async with ari.Client("http://127.0.0.1:8088", "user", "password", ari.app_name()) as client:
        client.on_channel_event("StasisStart", lambda channel, event: channel.answer())
        await client.run()

Resources, models and events are generated from Asterisk's own Swagger files (`make ari`); events are in
`asterisk.ari.models`.
"""

from asterisk.ari.client import Client, connect
from asterisk.ari.dispatch import NOISY, Subscription
from asterisk.ari.errors import (
    AriError,
    BadRequest,
    BadResponse,
    Conflict,
    Forbidden,
    NotFound,
    NotInStasis,
    PreconditionFailed,
    Replaced,
    ServerError,
    Timeout,
    Unauthorized,
    Unreachable,
)
from asterisk.ari.ids import app_name, new_id
from asterisk.ari.link import Reconciled, State
from asterisk.ari.models import Bridge, Channel, Event, LiveRecording, Playback, StoredRecording
from asterisk.ari.stream import EventStream

__all__ = [
    "NOISY",
    "AriError",
    "BadRequest",
    "BadResponse",
    "Bridge",
    "Channel",
    "Client",
    "Conflict",
    "Event",
    "EventStream",
    "Forbidden",
    "LiveRecording",
    "NotFound",
    "NotInStasis",
    "Playback",
    "PreconditionFailed",
    "Reconciled",
    "Replaced",
    "ServerError",
    "State",
    "StoredRecording",
    "Subscription",
    "Timeout",
    "Unauthorized",
    "Unreachable",
    "app_name",
    "connect",
    "new_id",
]
