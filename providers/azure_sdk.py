"""Microsoft's Speech SDK, held at arm's length: its account, its threads and its errors.

It is a native library with threads of its own. Starting an operation returns at once; waiting for one and releasing its
objects blocks, two to ten seconds when the service does not answer (measured with 1.53). So nothing waits for it on the
event loop: callbacks are handed over by ``call_soon_threadsafe``, and a few threads are kept for releasing objects.
An operation whose handle is not resolved keeps its threads for ever, hence `release`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import Any

from providers.voice import AudioFormat, VoiceError

PACKAGE = "azure.cognitiveservices.speech"
LIVE = 200  # native recognisers and synthesisers at once, those that are being released included
RELEASING = 16  # threads that wait for the library
RELEASED_WITHIN = 12.0  # seconds; the library itself gives up after two to ten
TUNING = {
    "SPEECH-USPRunPollingInterval": "20",  # ms between two looks at a socket; at its own 10 it takes half as much again
    # % of real time at which audio that waits is sent where nothing was told of the last 33 s. At its own 100 that is
    # never: what came late (after silence, over a bad network) stays late until a phrase is written.
    "SPEECH-AudioThrottleLowAsPercentageOfRealTime": "200",
    "SPEECH-StopRecognitionTimeoutInSeconds": "2",  # instead of ten, when the service does not answer
}
"""Properties of the library that its documentation leaves out; a version that does not know one ignores it."""
PERMANENT = ("AuthenticationFailure", "Forbidden", "BadRequest")
ADVICE = {
    "AuthenticationFailure": "check AZURE_SPEECH_KEY (of AZURE_SPEECH_REGION or AZURE_SPEECH_ENDPOINT?) and its rights",
    "TooManyRequests": "the resource has no more room; its quota can be raised",
    "ConnectionFailure": "check the network, and AZURE_SPEECH_REGION or AZURE_SPEECH_ENDPOINT",
}

_COMMONPLACE = re.compile(r"Please check[^.]*\.")

LOCALES = {
    "ar": "ar-EG", "bn": "bn-BD", "ca": "ca-ES", "cs": "cs-CZ", "cy": "cy-GB", "da": "da-DK", "el": "el-GR",
    "en": "en-US", "et": "et-EE", "fa": "fa-IR", "ga": "ga-IE", "gl": "gl-ES", "he": "he-IL", "hi": "hi-IN",
    "hy": "hy-AM", "ja": "ja-JP", "ka": "ka-GE", "kk": "kk-KZ", "ko": "ko-KR", "ms": "ms-MY", "nb": "nb-NO",
    "pt": "pt-BR", "sl": "sl-SI", "sq": "sq-AL", "sr": "sr-RS", "sv": "sv-SE", "ta": "ta-IN", "te": "te-IN",
    "uk": "uk-UA", "ur": "ur-PK", "vi": "vi-VN", "zh": "zh-CN",
}  # fmt: skip
"""Where a language is meant that is not called like its country (CLDR, likely subtags)."""


def load() -> Any:
    """The SDK. Call it at start: it takes some 40 ms.

    Raises:
        VoiceError: it is not installed, or a library that it needs is not.
    """
    try:
        return import_module(PACKAGE)
    except ImportError as error:
        text = f"the azure-speech voice needs Microsoft's Speech SDK: pip install 'hookflash[azure]' ({error})"
        raise VoiceError(text, code="import") from error
    except OSError as error:
        text = f"Microsoft's Speech SDK cannot be loaded: {error}; on Debian: apt-get install libasound2 libssl3"
        raise VoiceError(text, code="import") from error


def locale(language: str | None) -> str:
    """A language as Azure wants it, with a country: ``de-DE`` of ``de``; American English when there is none."""
    if not language:
        return "en-US"
    if "-" in language:
        return language
    return LOCALES.get(language.lower(), f"{language.lower()}-{language.upper()}")


class Azure:
    """One account, and the threads of the library that work for it."""

    def __init__(self, sdk: Any, *, key: str, region: str = "", endpoint: str = "") -> None:
        self.sdk = sdk
        self._key = key
        self._where = {"endpoint": endpoint} if endpoint else {"region": region}
        self._live = 0
        self._threads = ThreadPoolExecutor(RELEASING, "azure-speech")
        self._releases: set[asyncio.Future[None]] = set()

    @property
    def live(self) -> int:
        """Native recognisers and synthesisers that are not released yet."""
        return self._live

    def config(self) -> Any:
        """A new configuration that names the account."""
        config = self.sdk.SpeechConfig(subscription=self._key, **self._where)
        for name, value in TUNING.items():
            config.set_property_by_name(name, value)
        return config

    def admit(self) -> None:
        """Count one more native object; `dismiss` or `release` count it off. Raises `VoiceError` when there are too
        many.
        """
        if self._live >= LIVE:
            text = f"Azure Speech is used {LIVE} times at once by this engine; no more are opened"
            raise VoiceError(text, code="limit", recoverable=True)
        self._live += 1

    def dismiss(self) -> None:
        """One that was counted was never made, or is gone."""
        self._live -= 1

    def release(self, operations: list[Any], signals: list[Any], objects: list[Any]) -> asyncio.Future[None]:
        """Resolve what was started, then let go of the objects; done when their threads are gone.

        The lists must hold the last references, ``objects`` in the order in which they are to go.
        """
        done = self.run(lambda: _let_go(operations, signals, objects))
        done.add_done_callback(lambda _: self.dismiss())
        return done

    def run(self, work: Callable[[], None]) -> asyncio.Future[None]:
        """Do what blocks in a thread of ours; `close` waits for it."""
        done = asyncio.get_running_loop().run_in_executor(self._threads, work)
        self._releases.add(done)
        done.add_done_callback(self._releases.discard)
        return done

    def failure(self, code: Any, details: str) -> VoiceError:
        """What the library tells about a failure."""
        name = str(getattr(code, "name", code))
        told = " ".join(_COMMONPLACE.sub("", details).replace(self._key, "…").split())[:200]
        advice = f"; {ADVICE[name]}" if name in ADVICE else ""
        return VoiceError(f"Azure Speech: {told}{advice}", code=_snake(name), recoverable=name not in PERMANENT)

    async def close(self) -> None:
        """Wait, not for ever, until everything is released."""
        pending = self._releases
        if pending:
            _, pending = await asyncio.wait(pending, timeout=RELEASED_WITHIN)
        self._threads.shutdown(wait=not pending)  # idle threads end at once


def resolve(operations: list[Any]) -> None:
    """Wait for operations that were started, and forget them. Blocks."""
    while operations:
        with suppress(RuntimeError):  # how it failed was told by an event
            operations.pop(0).get()


def _let_go(operations: list[Any], signals: list[Any], objects: list[Any]) -> None:
    for signal in signals:
        signal.disconnect_all()
    resolve(operations)
    while objects:
        objects.pop(0)
    signals.clear()  # not before: a thread of the library may just be calling one of them


def on_loop(handler: Callable[[Any], None]) -> Callable[[Any], None]:
    """A callback for the library, whose threads hand the event to the loop that runs now."""
    loop = asyncio.get_running_loop()

    def hand_over(event: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(handler, event)

    return hand_over


def _snake(name: str) -> str:
    """``too_many_requests`` of ``TooManyRequests``."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def wave_format(sdk: Any, format: AudioFormat) -> Any:
    """A format of caller audio as the library writes it."""
    kinds = sdk.audio.AudioStreamWaveFormat
    return sdk.audio.AudioStreamFormat(
        samples_per_second=format.rate,
        bits_per_sample=16 if format.encoding == "pcm16" else 8,
        channels=1,
        wave_stream_format={"ulaw": kinds.MULAW, "alaw": kinds.ALAW, "pcm16": kinds.PCM}[format.encoding],
    )
