"""The whole move, rehearsed by command: its two endings. And both methods' books, byte for byte."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from forked import ForkedCommand

pytest.importorskip("bookline.migration.legacy")

REHEARSAL_SECONDS = 400


def bookline(folder: Path, *command: str) -> tuple[int, Any, str]:
    """Exit code, JSON on stdout, stderr."""
    clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    ran = ForkedCommand([*command, "--json"], env=clean, cwd=folder).done(REHEARSAL_SECONDS)
    return ran.returncode, json.loads(ran.stdout or "null"), ran.stderr


@pytest.mark.slow
def test_a_healthy_workflow_gets_everybody(tmp_path: Path) -> None:
    code, told, said = bookline(tmp_path, "rollout", "rehearse")

    assert code == 0, said
    assert [past["percent"] for past in told["rollout"]["history"]] == [100, 50, 10]
    assert [past["by"] for past in told["rollout"]["history"]] == [
        "bookline", "bookline", "rehearsal",
    ]  # fmt: skip
    assert told["rollout"]["open"] == {"workflow": 0, "legacy": 0}
    assert told["rollout"]["incidents"] == []
    for method in ("workflow", "legacy"):
        assert told["metrics"]["methods"][method]["count"] >= 200
        assert told["metrics"]["methods"][method]["failed"] == 0


@pytest.mark.slow
def test_a_faulty_workflow_is_rolled_back_with_the_reason(tmp_path: Path) -> None:
    code, told, said = bookline(tmp_path, "rollout", "rehearse", "--fault")

    assert code == 0, said
    assert [past["percent"] for past in told["rollout"]["history"]] == [0, 10]
    assert told["rollout"]["reason"].startswith("success: the workflow's success rate is -")
    assert len(told["rollout"]["incidents"]) == 1
    assert told["metrics"]["methods"]["workflow"]["byOutcome"]["upstream"] > 0
    assert told["metrics"]["methods"]["legacy"]["failed"] == 0


def test_both_methods_make_the_same_books_and_tell_the_same(tmp_path: Path) -> None:
    code, told, said = bookline(tmp_path, "rollout", "compare", "--count", "20")

    assert (code, told["equal"]) == (0, True), said
    assert len(told["items"]) == 20
    assert {one["status"] for one in told["items"]} == {"completed"}
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


@pytest.mark.parametrize(("isbns", "code"), [(["123"], 2), (["9780000000003"], 2)])
def test_what_cannot_be_compared_is_refused(tmp_path: Path, isbns: list[str], code: int) -> None:
    got, _, said = bookline(tmp_path, "rollout", "compare", *isbns)

    assert got == code
    assert json.loads(said.strip().splitlines()[-1])["error"]["code"] == "INVALID_ISBN"
