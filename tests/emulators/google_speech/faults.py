"""What can go wrong at Google, one knob each. The default is a Google without fault."""

from __future__ import annotations

from dataclasses import dataclass

import grpc


@dataclass(frozen=True)
class Faults:
    # Speech-to-Text
    refuses: grpc.StatusCode | None = None  # every stream, at once
    aborts_after: tuple[int, ...] = ()  # ms of audio after which the first, the second … stream is ABORTED
    status: grpc.StatusCode = grpc.StatusCode.ABORTED  # what they end with instead
    no_results: bool = False  # it hears that somebody speaks, never what
    no_events: bool = False  # it tells texts only
    duplicate: bool = False  # every response twice
    late: bool = False  # a preliminary text once more behind the final one
    delay: float = 0.0  # seconds before every final text
    stops_reading: int | None = None  # after so many ms of audio, in the first stream
    longest: int = 300_000  # ms of a stream
    patience: float = 10.0  # seconds without a request

    # Text-to-Speech
    speech_refuses: grpc.StatusCode | None = None
    speech_aborts: tuple[int, ...] = ()  # pieces of audio after which the first, the second … stream is ABORTED
    speech_silent: bool = False
    speech_patience: float = 5.0  # seconds without text
