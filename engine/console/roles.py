"""Roles, and what each may do. Each may do what those before it may."""

from __future__ import annotations

from typing import Final, get_args

from engine.console.models import Right, Role

ROLES: Final[tuple[Role, ...]] = get_args(Role)  # from the least to the most

_ADDED: Final[dict[Role, tuple[Right, ...]]] = {
    "viewer": ("live",),
    "analyst": ("values", "history", "recordings"),
    "supervisor": ("listen", "act"),
    "admin": ("audit",),
}


def rights(role: Role) -> list[Right]:
    """What a role may do."""
    return [right for one in ROLES[: ROLES.index(role) + 1] for right in _ADDED[one]]


def needed(right: Right) -> Role:
    """The least role that has a right."""
    return next(role for role in ROLES if right in _ADDED[role])
