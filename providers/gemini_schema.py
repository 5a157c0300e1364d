"""JSON Schema as Gemini's function declarations take it: a subset of OpenAPI 3.0 with types in capitals.

What it has no word for (such as `const` or a list of types) is said with what it has; what cannot be said is left out:
the engine checks arguments against the whole schema anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEPT = (
    "description", "enum", "format", "maxItems", "maximum", "maxLength", "minItems", "minimum", "minLength", "nullable",
    "pattern", "required", "title",
)  # fmt: skip
DEPTH = 16


def gemini_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The declaration for a schema. ``$ref`` into ``$defs`` is put in place; a circle ends as an object."""
    return _translated(schema, schema.get("$defs") or schema.get("definitions") or {}, 0)


def _translated(schema: Mapping[str, Any], defs: Mapping[str, Any], depth: int) -> dict[str, Any]:
    if depth > DEPTH:
        return {"type": "OBJECT"}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        schema = {**(defs.get(reference.rpartition("/")[2]) or {}), **{k: v for k, v in schema.items() if k != "$ref"}}
        return _translated(schema, defs, depth + 1)
    found: dict[str, Any] = {name: schema[name] for name in KEPT if name in schema}
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if "enum" in found:
        found["enum"] = [str(value) for value in found["enum"] if value is not None]
    kinds = schema.get("type", "object" if "properties" in schema else "string" if "enum" in found else None)
    several = [kinds] if isinstance(kinds, str) else list(kinds or ())
    if "null" in several:
        found["nullable"] = True
    several = [kind for kind in several if kind != "null"]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        found["anyOf"] = [_translated(option, defs, depth + 1) for option in options]
    elif len(several) > 1:
        found["anyOf"] = [{"type": kind.upper()} for kind in several]
    elif several:
        found["type"] = several[0].upper()
    if isinstance(schema.get("properties"), Mapping):
        found["properties"] = {name: _translated(part, defs, depth + 1) for name, part in schema["properties"].items()}
    if isinstance(schema.get("items"), Mapping):
        found["items"] = _translated(schema["items"], defs, depth + 1)
    return found
