"""What an author is told who writes an address of the internet: flows name the endpoints of resources.yaml alone, so
that nobody who writes to a flow's variables can lead the engine, and the secrets of its headers, to another host."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_address(value: Any) -> bool:
    """Whether a value begins as an address does, such as ``https://``."""
    return isinstance(value, str) and _ADDRESS.match(value) is not None


def instead_of(value: Any) -> str:
    """What to write instead of a whole address, in the words of this address when it is one."""
    base, path = "https://…", "/…"
    if is_address(value):
        try:
            parts = urlsplit(value)
        except ValueError:  # such as brackets that do not close
            parts = urlsplit("")
        if parts.netloc:
            base, path = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path or "/"
            path += f"?{parts.query}" if parts.query else ""
    named = f'endpoints: {{NAME: {{base_url: "{base}"}}}}'
    return f"write 'endpoint: NAME, path: \"{path}\"', and in resources.yaml '{named}'"
