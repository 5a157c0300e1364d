"""Errors that a person can put right: they end a command with one line, never with a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something outside must change; the text says what, where and how. Ends a command with ``exit_code``."""

    exit_code = 2
