"""Whom to ring: targets as flows and people write them, as the line dials them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.outcome import StepError
from flows.resources import Resources
from flows.targets import GROUP, NUMBER


def dialled(written: Iterable[str], resources: Resources) -> Iterator[str]:
    """Numbers, targets, names of destinations and groups (whose members stand in their place). Raises `StepError`."""
    for one in written:
        if not one.startswith(GROUP):
            yield _target(one, resources)
            continue
        members = resources.groups.get(one.removeprefix(GROUP))
        if members is None:
            raise StepError(f"there is no group {one.removeprefix(GROUP)!r} in resources.yaml")
        yield from (_target(member, resources) for member in members)


def _target(written: str, resources: Resources) -> str:
    if ":" in written:
        return written
    if NUMBER.fullmatch(written):
        return f"tel:{written}"
    destination = resources.destinations.get(written)
    if destination is None:
        raise StepError(
            f"there is no destination {written!r} in resources.yaml, and it is no target such as pjsip:NAME"
        )
    return destination.target
