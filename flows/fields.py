"""The types that a verb's fields are made of. All of them read themselves from a flow's value, know their place, and
report what is wrong with them; outside of a flow (in a test, in a program) they accept plain values.

    class SayFields(Fields):
        text: Text
        loop: Value | None = None
        pause: Duration = 0.0
"""

from __future__ import annotations

from flows.files import FilePath, TextFile
from flows.json_schema import JsonSchema, SchemaFile, property_types
from flows.texts import Condition, Expression, Text, Value
from flows.values import (
    CalendarName,
    DestinationName,
    Digits,
    Duration,
    EndpointName,
    FlowName,
    PhoneNumber,
    PromptName,
    SectionName,
    Steps,
)
from flows.verb import Fields, Outcomes

__all__ = [
    "CalendarName",
    "Condition",
    "DestinationName",
    "Digits",
    "Duration",
    "EndpointName",
    "Expression",
    "Fields",
    "FilePath",
    "FlowName",
    "JsonSchema",
    "Outcomes",
    "PhoneNumber",
    "PromptName",
    "SchemaFile",
    "SectionName",
    "Steps",
    "Text",
    "TextFile",
    "Value",
    "property_types",
]
