"""What the caller said, as the realtime protocol tells it: in pieces, as a whole so far, and in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from providers.realtime_fields import Frame, text
from providers.voice import UserText

REMEMBERED: Final = 16  # items of the past, of which a piece may still come


class CallerWords:
    """Those of one session."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}  # by item, so far

    def more(self, event: Frame) -> Sequence[UserText]:
        """Another piece."""
        item = text(event, "item_id")
        self._said[item] = said = self._said.get(item, "") + (event.get("delta") or "")
        while len(self._said) > REMEMBERED:
            del self._said[next(iter(self._said))]
        return (UserText(said, final=False, item=item),) if said else ()

    def so_far(self, event: Frame) -> Sequence[UserText]:
        """The whole text so far (xAI)."""
        return (UserText(text(event, "transcript"), final=False, item=text(event, "item_id")),)

    def completed(self, event: Frame) -> UserText:
        """All of it; xAI says so of a text to which more is to come, too."""
        item = text(event, "item_id")
        final = event.get("status") != "in_progress"
        if final:
            self._said.pop(item, None)
        return UserText(text(event, "transcript"), final=final, item=item)

    def failed(self, event: Frame) -> str:
        """There will be no text; gives the provider's reason."""
        self._said.pop(event["item_id"], None)
        return str((event.get("error") or {}).get("message"))
