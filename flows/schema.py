"""The JSON Schema of flow files (draft 2020-12), generated from the verbs that are installed, for editors.

A step is keyed by its verb with ``if``/``then``, never ``oneOf``: an editor then says which key is wrong instead of
"matches none of the given schemas". Outcome names stand in ``properties``, so that they are completed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flows.verb import Verb

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def flow_schema(verbs: Mapping[str, Verb]) -> dict[str, Any]:
    """The schema of a ``*.flow.yaml``."""
    return {"$schema": DIALECT}
