"""Waits that have an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from providers.voice import VoiceError

Item = TypeVar("Item")


async def within(source: AsyncIterator[Item], seconds: float, what: str) -> AsyncGenerator[Item, None]:
    """What ``source`` brings, each within so many seconds; closing this closes it.

    Raises `VoiceError` naming ``what``.
    """
    try:
        while True:
            try:
                async with asyncio.timeout(seconds):
                    item = await anext(source)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise VoiceError(
                    f"{what} brought nothing for {seconds:g} s", code="timeout", recoverable=True
                ) from None
            yield item
    finally:
        if isinstance(source, AsyncGenerator):
            await source.aclose()
