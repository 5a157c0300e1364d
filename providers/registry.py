"""Finding voices: ours and third parties', by entry point (group ``hookflash.voices``)."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points

from providers.voice import Capabilities, MakeProvider, Provider, VoiceError

GROUP = "hookflash.voices"


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def names() -> tuple[str, ...]:
    """The voices that are installed, sorted. Imports none of them."""
    return tuple(sorted(_installed()))


def capabilities(name: str) -> Capabilities:
    """What an installed voice can do, for the check of flows: its module's ``CAPABILITIES``; needs no settings, no key.

    Raises:
        VoiceError: no such voice, or its module cannot be imported.
    """
    module = sys.modules[_entry(name)[0].module]
    found = getattr(module, "CAPABILITIES", None)
    return found if isinstance(found, Capabilities) else Capabilities()


def load(name: str, settings: Mapping[str, str]) -> Provider:
    """Import the voice ``name`` and make its provider.

    Call it at start, not during a call: an import may take a fraction of a second. ``settings`` are the provider's own
    (``api_key``, ``base_url``, …).

    Raises:
        VoiceError: no such voice, its module cannot be imported, or a setting is missing.
    """
    _, make = _entry(name)
    provider: Provider = make(settings)
    return provider


def _entry(name: str) -> tuple[EntryPoint, MakeProvider]:
    points = _installed()
    point = points.get(name)
    if point is None:
        close = get_close_matches(name, points, n=1)
        hint = f" (did you mean '{close[0]}'?)" if close else ""
        listed = ", ".join(sorted(points)) or "none; reinstall hookflash"
        raise VoiceError(f"unknown voice '{name}'{hint}; installed: {listed}", code="unknown_voice")
    try:
        make = point.load()
    except (ImportError, AttributeError) as error:
        where = f"{point.value} of {point.dist.name}" if point.dist else point.value
        raise VoiceError(f"voice '{name}' ({where}) cannot be imported: {error}", code="import") from error
    return point, make
