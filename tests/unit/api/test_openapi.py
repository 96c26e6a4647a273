"""The OpenAPI document as programs read it: names that people would give."""

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from bookline.api.openapi import _schema_name
from bookline.api.server import create_server
from bookline.settings import read_settings


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    made = create_server(read_settings({"BOOKLINE_DATA_DIR": str(tmp_path)}, None))
    return cast(Any, made._app).openapi()  # type: ignore[no-any-return]


def test_each_operation_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    names = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]

    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z][A-Za-z]{3,30}", name), name


def test_schemas_are_named_plainly_and_every_reference_leads_somewhere(
    document: dict[str, Any],
) -> None:
    schemas = document["components"]["schemas"]

    assert {"Book", "Job", "JobAnswer", "JobPageAnswer", "BookPageAnswer"} <= set(schemas)
    for name, schema in schemas.items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name), name
        assert schema["title"] == name
    used = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert used <= set(schemas)
    assert "Success_" not in json.dumps(document)


def test_each_body_is_a_schema_with_a_name(document: dict[str, Any]) -> None:
    """As generators call them: a body that is written out gets a name made of its route's."""
    bodies = {
        operation["operationId"]: operation["requestBody"]["content"]["application/json"]["schema"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }

    names = {
        operation: schema.get("$ref", "").rpartition("/")[2] for operation, schema in bodies.items()
    }
    assert names == {
        "startImport": "ImportRequest",
        "startImportByRollout": "RolloutImportRequest",
        "startBatch": "BatchRequest",
        "answerReview": "ReviewChoice",
        "editBook": "BookEdit",
        "changeRollout": "RolloutChange",
        "advanceRollout": "RolloutReason",
        "rollBackRollout": "RolloutReason",
        "callLegacy": "LegacyCall",
    }
    assert "$defs" not in json.dumps(document)
    for name in names.values():
        for field, schema in document["components"]["schemas"][name]["properties"].items():
            assert "default" not in schema, f"generators take {field} of {name} for required"


def test_parameters_are_named_as_the_fields_are(document: dict[str, Any]) -> None:
    names = {
        parameter["name"]
        for operations in document["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
    }

    assert {"jobId", "batchId"} <= names
    assert not [name for name in names if "_" in name]


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ("Book", "Book"),
        ("Success_Book_", "BookAnswer"),
        ("Page_Job_", "JobPage"),
        ("Success_CountedPage_Book__", "BookPageAnswer"),
        ("Success_Counted_Batch__", "BatchPageAnswer"),
        ("bookline__api__schemas__Reading", "Reading"),
    ],
)
def test_a_generic_is_named_by_what_it_holds(made: str, name: str) -> None:
    assert _schema_name(made) == name
