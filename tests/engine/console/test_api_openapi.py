"""The OpenAPI document: valid, complete, and true: what the engine answers is what it says."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from tests.engine.console.desk import Desk, desk

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


async def test_it_is_valid(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        document = await house.get("/openapi.json", None)
        OpenAPIV31SpecValidator(document).validate()
        assert document["openapi"] == "3.1.0"


async def test_every_route_is_in_it_and_in_the_docs(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        document = await house.get("/openapi.json", None)
        documented = DOCS.read_text()
        for path, operations in document["paths"].items():
            for method in operations:
                line = f"`{method.upper()} {path.removeprefix('/api/v1')}`"
                assert line in documented, f"docs/api.md does not know {line}"
        told = set(re.findall(r"\| `(GET|POST|DELETE) (/[^`?]*)", documented))
        known = {
            (method.upper(), path.removeprefix("/api/v1"))
            for path, operations in document["paths"].items()
            for method in operations
        }
        assert told - known == {("GET", "/calls/{id}/audio"), ("GET", "/openapi.json")}


async def test_the_examples_of_the_docs_have_the_fields_of_the_models(tmp_path: Path) -> None:
    async with desk(tmp_path) as house:
        schemas = (await house.get("/openapi.json", None))["components"]["schemas"]
        documented = DOCS.read_text()
        for name in ("Session", "EngineHealth", "CallSummary", "CallDetail", "FlowGraph", "ActionResult"):
            section = documented.split(f"### {name}\n", 1)[1].split("\n###", 1)[0]
            fields = schemas[name]["properties"]
            missing = [field for field in fields if f'"{field}"' not in section and f"`{field}`" not in section]
            assert missing == [], f"docs/api.md does not tell of {name}.{missing}"


# ── Whatever is sent, the answer is one that the document knows ───────────────────────────────────────────────────────


load_all_checks()
HELD = CHECKS.get_by_names(
    ["not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
     "response_schema_conformance", "missing_required_header", "unsupported_method", "negative_data_rejection"]
)  # fmt: skip


@dataclass
class Served:
    """A console in another thread."""

    url: str
    token: str
    document: dict[str, Any]
    live: str


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[Served] = []

    async def run() -> None:
        async with desk(folder) as house:
            await _furnish(house, found)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert ready.wait(10), "the console did not start"
    try:
        yield found[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


async def _furnish(house: Desk, found: list[Served]) -> None:
    call, _ = await house.rings()
    document = await house.get("/openapi.json", None)
    del document["paths"]["/api/v1/events"]  # it never ends; tests of its own read it
    found.append(Served(house.url, house.tokens["admin"], document, call.record.id))


@pytest.mark.timeout(110)
def test_what_is_answered_is_what_the_document_says(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        schema = schemathesis.openapi.from_dict(served.document)
        schema.config.update(base_url=served.url)
        for result in schema.get_all_operations():
            operation = result.ok()
            _try_everything(operation, served)


def _try_everything(operation: Any, served: Served) -> None:
    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(operation.as_strategy(GenerationMode.POSITIVE) | operation.as_strategy(GenerationMode.NEGATIVE))
    def try_it(case: Any) -> None:
        if "id" in case.path_parameters and case.method == "GET":
            case.path_parameters["id"] = served.live
        headers = {**(case.headers or {}), "Authorization": f"Bearer {served.token}"}
        case.call_and_validate(headers=headers, checks=HELD)

    try_it()
