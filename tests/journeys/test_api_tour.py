"""A tour of the whole API by its own OpenAPI document, with right and with wrong data.

Way:      schemathesis makes the requests → a real server with the sandbox behind it
Rule 1:   the same requests each time: a test that fails now and then teaches nothing.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)
from stack import Server, server

from bookline.api.envelope import STATUS
from bookline.api.server import ROUTERS
from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
ISBNS = ["9780451524935", "9780142437247", "0451524934", "9780000000019"]
PAGES = {"/openapi.json", "/", "/page/{name}", "/docs"}
WITHOUT_ID = {
    f"/v2/import/{name}{slash}"
    for name in ("status", "events", "cancel", "retry")
    for slash in ("", "/")
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with (
        Sandbox() as sandbox,
        server(sandbox.settings(), tmp_path_factory.mktemp("tour") / "data") as running,
    ):
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def document(api: Server) -> dict[str, Any]:
    _, text, _ = await api.get("/openapi.json")
    read: dict[str, Any] = text
    return read


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def job_ids(api: Server) -> list[str]:
    """Jobs in every state that lasts."""
    jobs = [await api.finished(isbn) for isbn in ISBNS]
    assert {job["status"] for job in jobs} == {"completed", "failed"}
    return [job["jobId"] for job in jobs]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def batch_ids(api: Server) -> list[str]:
    """Batches that are over."""
    started = [await api.post("/v2/import/batch", {"items": [isbn, "none"]}) for isbn in ISBNS]
    return [answer["data"]["batchId"] for _, answer, _ in started]


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


# ------------------------------------------------------------------ the tour
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
async def test_every_answer_is_one_that_the_document_tells(
    api: Server,
    document: dict[str, Any],
    job_ids: list[str],
    batch_ids: list[str],
    mode: GenerationMode,
) -> None:
    """Right data finds real jobs and books; wrong data is refused with a documented code."""
    toured = await asyncio.to_thread(tour, api, document, (job_ids, batch_ids), mode)

    if mode is GenerationMode.POSITIVE:
        assert set(toured) == {name for name, _ in operations(document)}
        starts = [*toured["POST /v2/import"], *toured["POST /v2/import/workflow"]]
        assert 202 in starts
        assert 202 in toured["POST /v2/import/batch"]
        assert 200 in toured["GET /v2/import/batch/{batchId}/items"]
        assert 200 in toured["GET /v2/import/status/{jobId}"]
        assert 200 in toured["GET /v2/books/{isbn}"]
    assert "Traceback" not in api.log


def tour(
    api: Server,
    document: dict[str, Any],
    ids: tuple[list[str], list[str]],
    mode: GenerationMode,
) -> dict[str, list[int]]:
    """The statuses that each operation answered with. Raises: what does not conform."""
    schema = schemathesis.openapi.from_dict(document)
    toured: dict[str, list[int]] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        cases = found.ok().as_strategy(mode)

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases, number=st.integers(0, 3))
        def ask(case: Case[Any], number: int) -> None:
            more = [negative_data_rejection] if mode is GenerationMode.NEGATIVE else []
            if mode is GenerationMode.POSITIVE:
                make_real(case, number, *ids)
            answer = case.call(base_url=api.url, timeout=120)
            toured.setdefault(f"{case.method.upper()} {case.path}", []).append(answer.status_code)
            case.validate_response(answer, checks=[*CHECKS, *more])

        with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
            ask()
    return toured


def make_real(case: Case[Any], number: int, job_ids: list[str], batch_ids: list[str]) -> None:
    """Three times in four the request is about a job, batch or book that there is."""
    if number == 3:
        return
    if "jobId" in case.path_parameters:
        case.path_parameters["jobId"] = job_ids[number]
    if "isbn" in case.path_parameters:
        case.path_parameters["isbn"] = ISBNS[number]
    if "batchId" in case.path_parameters:
        case.path_parameters["batchId"] = batch_ids[number]
    if case.path == "/v2/import/batch":
        case.body = {"items": [ISBNS[number]]}
    elif isinstance(case.body, dict) and case.path.startswith("/v2/import"):
        case.body["isbn"] = ISBNS[number]
    if case.path.endswith(("/events/{jobId}", "/events")):
        case.headers.pop("Last-Event-ID", None)


# ------------------------------------------------------------------ the document
async def test_the_document_tells_of_every_route(document: dict[str, Any]) -> None:
    told = {name for name, _ in operations(document)}

    served = {
        f"{method} {route.path}"
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and route.path not in PAGES | WITHOUT_ID
        for method in route.methods or ()
    }
    assert told == served


async def test_every_error_code_is_in_the_document(document: dict[str, Any]) -> None:
    text = json.dumps([operation["responses"] for _, operation in operations(document)])

    assert [code for code in STATUS if code not in text] == []


async def test_every_operation_says_what_it_does_and_shows_its_body(
    document: dict[str, Any],
) -> None:
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["description"], name
        assert operation["tags"], name
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (name, parameter["name"])
        if "requestBody" in operation:
            for body in operation["requestBody"]["content"].values():
                schema = body["schema"]
                if "$ref" in schema:
                    schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                assert schema["examples"], name
        for status, answer in operation["responses"].items():
            assert answer["description"], (name, status)
            assert status != "422", name


async def test_the_document_tells_how_to_show_a_key_or_token(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]

    assert {(scheme["type"], scheme["scheme"]) for scheme in schemes.values()} == {
        ("http", "bearer")
    }
    for name, operation in operations(document):
        is_open = name in {"GET /healthz", "GET /readyz"}
        assert ("401" in operation["responses"]) is not is_open, name
        assert (operation.get("security", document["security"]) == []) is is_open, name


async def test_the_document_and_the_reference_name_the_socket(
    api: Server, document: dict[str, Any]
) -> None:
    """OpenAPI knows no WebSocket, so the description has it."""
    _, reference, _ = await api.get("/docs")

    assert "/ws/progress" in document["info"]["description"]
    for name, _ in operations(document):
        assert name.encode() in reference, name
