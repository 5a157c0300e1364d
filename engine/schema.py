"""Checks values that come from a model or an endpoint against a JSON Schema, with messages that a model can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jsonschema_rs

MOST = 5  # problems told at once


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    return jsonschema_rs.validator_for(schema)


def violations(value: Any, schema: Mapping[str, Any]) -> list[str]:
    """What is wrong with ``value``, each as ``where: what``; empty when it fits."""
    found = []
    for error in _validator(json.dumps(schema)).iter_errors(value):
        where = ".".join(str(part) for part in error.instance_path)
        found.append(f"{where}: {error.message}" if where else error.message)
        if len(found) == MOST:
            break
    return found
