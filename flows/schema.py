"""The JSON Schema of flow files (draft 2020-12), generated from the verbs that are installed, for editors.

A step is keyed by its verb with ``if``/``then``, never ``oneOf``: an editor then says which key is wrong instead of
"matches none of the given schemas". Outcome names stand in ``properties``, so that they are completed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from flows.expressions import TYPES
from flows.flow import HANDLER_EVENTS
from flows.values import STEPS_TITLE
from flows.verb import Verb

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_HANDLERS = "What happens on an event at any step."
_RECOVER = "The section at which a call goes on after the engine was restarted."
_STEPS = {"$ref": "#/$defs/steps"}
_DURATION = {"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+(\\.[0-9]+)?s)?([0-9]+ms)?$"}
_NAME = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}


class _Generator(GenerateJsonSchema):
    """Leaves out defaults that have no JSON form (texts and expressions), without a warning."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"non-serializable-default"}  # noqa: RUF012 - pydantic's own


def flow_schema(verbs: Mapping[str, Verb]) -> dict[str, Any]:
    """The schema of a ``*.flow.yaml``."""
    definitions: dict[str, Any] = {}
    forms = {name: _fields(verb, definitions) for name, verb in sorted(verbs.items())}
    variables = {"type": "object", "additionalProperties": _variable(), "propertyNames": _NAME}
    properties = {
        "flow": {"type": "string", "description": "The flow's name, such as bella/orders."},
        "version": {"type": "integer", "minimum": 1},
        "description": _or_nothing({"type": "string"}),
        "note": _or_nothing({"type": "string"}),
        "vars": _or_nothing({**variables, "description": "Variables, with their types."}),
        "input": _or_nothing({**variables, "description": "What a caller of this flow gives it."}),
        "defaults": _or_nothing(_defaults(forms)),
        "limits": _or_nothing(_limits()),
        "handlers": _or_nothing({"type": "array", "items": _handler(), "description": _HANDLERS}),
        "steps": _STEPS,
        "sections": _or_nothing({"type": "object", "additionalProperties": _STEPS, "propertyNames": _NAME}),
        "recover": _or_nothing({**_NAME, "description": _RECOVER}),
    }
    steps = {"type": "array", "items": {"$ref": "#/$defs/step"}, "description": "Steps, one after the other."}
    return {
        "$schema": DIALECT,
        "title": "Hookflash flow",
        "type": "object",
        "properties": properties,
        "required": ["flow", "steps"],
        "additionalProperties": False,
        "$defs": {**definitions, "steps": steps, "step": _step(verbs, forms)},
    }


def _step(verbs: Mapping[str, Verb], forms: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    common: dict[str, Any] = {
        "id": {**_NAME, "description": "A name for `steps.<id>.outcome` and what the step saves."},
        "when": {"type": ["string", "boolean"], "description": "A bare expression; the step runs when it is true."},
        "outcomes": {"type": "object", "description": "Steps for each way to end."},
        "save": {"type": "object", "additionalProperties": {"enum": list(TYPES)}, "description": "Names and types."},
        "timeout": {**_DURATION, "description": "How long the step may take."},
        "retry": {
            "type": "object",
            "properties": {
                "max": {"type": "integer", "minimum": 0, "maximum": 10, "description": "How often at most."},
                "delay": {**_DURATION, "description": "The pause before it; a minute at most."},
                "backoff": {"type": "number", "minimum": 1, "maximum": 10, "description": "Makes each pause longer."},
            },
            "required": ["max"],
            "additionalProperties": False,
            "description": "How often the step runs again when it ended badly.",
        },
        "catch": {**_STEPS, "description": "Steps for every bad end that is not handled."},
        "note": {"type": "string", "description": "For people; the engine does not read it."},
        "disabled": {"type": "boolean", "description": "Skip the step."},
    }
    return {
        "type": "object",
        "properties": {**{name: {"description": verb.summary} for name, verb in sorted(verbs.items())}, **common},
        "additionalProperties": False,
        "allOf": [
            {"if": {"required": [name]}, "then": {"properties": _of_verb(verb, forms[name])}}
            for name, verb in sorted(verbs.items())
        ],
    }


def _of_verb(verb: Verb, form: dict[str, Any]) -> dict[str, Any]:
    """What a step with this verb may hold: the verb's fields or its short form, and the names of its outcomes."""
    value: dict[str, Any] = {**form, "type": ["object", "null"]} if _needs_nothing(verb) else form
    if verb.shorthand is not None:
        short = form["properties"].get(verb.shorthand, {})
        value = {"if": {"type": ["object", "null"]}, "then": value, "else": short}
    outcomes = {name: {**_STEPS, "description": f"When {verb.name} ends with {name}."} for name in _outcomes(verb)}
    return {
        verb.name: {"description": verb.summary, **value},
        "outcomes": {"properties": outcomes, "additionalProperties": _STEPS},
    }


def _needs_nothing(verb: Verb) -> bool:
    """Whether ``- verb:`` is a whole step, as ``- verb: {}`` is."""
    try:
        verb.Fields.model_validate({})
    except ValidationError:
        return False
    return True


def _or_nothing(form: dict[str, Any]) -> dict[str, Any]:
    """A key of the flow that may stand there empty."""
    return {**form, "type": [form["type"], "null"]}


def _outcomes(verb: Verb) -> tuple[str, ...]:
    """The outcomes that are known without the fields; some (a conversation's exits) only a flow can tell."""
    try:
        return verb.outcomes(verb.Fields.model_construct()).names
    except AttributeError:  # they depend on a field that has no default
        return ()


def _fields(verb: Verb, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a verb's fields; models inside it go to the definitions under the verb's own prefix."""
    template = f"#/$defs/{verb.name}.{{model}}"
    form = verb.Fields.model_json_schema(by_alias=True, ref_template=template, schema_generator=_Generator)
    for name, inner in form.pop("$defs", {}).items():
        definitions[f"{verb.name}.{name}"] = _with_steps(inner)
    form.setdefault("properties", {})
    found: dict[str, Any] = _with_steps(form)
    return found


def _with_steps(schema: Any) -> Any:
    """The schema with a reference wherever steps stand, and without the titles that pydantic makes of names."""
    if isinstance(schema, list):
        return [_with_steps(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("title") == STEPS_TITLE and schema.get("type") == "array":
        return {**_STEPS, "description": schema.get("description", "Steps.")}
    return {key: _with_steps(item) for key, item in schema.items() if key != "title" or not isinstance(item, str)}


def _defaults(forms: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    optional = {name: {key: part for key, part in form.items() if key != "required"} for name, form in forms.items()}
    return {
        "type": "object",
        "properties": {
            "max_call": {**_DURATION, "description": "How long a call may last."},
            "text_model": {"type": "string", "description": "The provider that extracts and summarises for this flow."},
            "account": {"type": "string", "description": "Whose keys and limits count at the providers."},
            **optional,
        },
        "additionalProperties": False,
        "description": "Fields that every step of a verb has unless it says otherwise.",
    }


def _limits() -> dict[str, Any]:
    cost = {"type": "number", "exclusiveMinimum": 0, "description": "What a call may cost, in the engine's currency."}
    return {
        "type": "object",
        "properties": {"cost": cost},
        "additionalProperties": False,
        "description": "What a call may use; the handler of the same name runs when it is used up.",
    }


def _variable() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "type": {"enum": list(TYPES)},
            "default": {},
            "sensitive": {"type": "boolean", "description": "Masked wherever it would be written down."},
            "description": {"type": "string"},
        },
        "required": ["type"],
        "additionalProperties": False,
    }


def _handler() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "event": {"enum": list(HANDLER_EVENTS)},
            "digits": {"type": ["string", "integer"], "description": "The key, with dtmf."},
            "goto": _NAME,
            "steps": _STEPS,
            "note": {"type": "string"},
        },
        "required": ["event"],
        "additionalProperties": False,
    }
