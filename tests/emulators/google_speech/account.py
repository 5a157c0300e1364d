"""A service account of Google's that nobody knows: a key file with a key of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


def private_key() -> tuple[Any, bytes]:
    """A new key, and its PEM."""
    key = rsa.generate_private_key(65537, 2048)
    return key, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write_account(path: Path) -> Path:
    """Write the key file."""
    path.write_text(json.dumps({
        "type": "service_account", "project_id": "bellas", "private_key": private_key()[1].decode(),
        "client_email": "a@b.c", "token_uri": "http://127.0.0.1:1/token",
    }))  # fmt: skip
    return path
