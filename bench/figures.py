"""Numbers of a measurement: medians and tails, and how far they were apart."""

from __future__ import annotations

from collections.abc import Sequence

Spread = dict[str, float]


def spread(values: Sequence[float], digits: int = 3) -> Spread | None:
    """min, p50, p99, max and the count; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    last = len(ordered) - 1
    at = {"min": 0, "p50": len(ordered) // 2, "p99": min(last, int(len(ordered) * 0.99)), "max": last}
    return {name: round(ordered[index], digits) for name, index in at.items()} | {"count": len(ordered)}


def p99(found: Spread | None) -> str:
    """As it stands in a table."""
    return "-" if found is None else f"{found['p99']:.2f}"


def slope(points: Sequence[tuple[float, float]]) -> float | None:
    """By how much y grows with x (least squares); None of fewer than two different x."""
    if len({x for x, _ in points}) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)
