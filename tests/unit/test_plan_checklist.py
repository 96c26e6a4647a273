"""The plan's checklist is answered line by line, by tests and benchmarks that exist."""

import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plan-checklist.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "shown by" not in line]
PLAN = Path(os.environ.get("RECORDED_ANSWERS", ROOT.parent / "shared" / "data")).parent / "PLAN.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_each_row_is_shown_by_something_that_exists(row: str) -> None:
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert len(cells) == 3
    assert all(cells)
    shown = re.findall(r"`([^`]+)`", cells[2])

    assert shown
    for one in shown:
        if one.startswith("make "):
            assert f"\n{one.removeprefix('make ')}:" in (ROOT / "Makefile").read_text("utf-8")
            continue
        path, _, name = one.partition("::")
        text = (ROOT / path).read_text("utf-8")
        assert not name or f"def {name}(" in text


@pytest.mark.skipif(not PLAN.exists(), reason="the plan does not lie beside the project")
def test_each_line_of_the_plan_has_its_row() -> None:
    plan = PLAN.read_text("utf-8")
    lines = re.findall(r"^- \[ \] (.+)$", plan, re.MULTILINE)
    metrics = plan.split("## Success Metrics")[1].split("\n---")[0]
    lines += re.findall(r"^- (.+)$", metrics, re.MULTILINE)

    assert len(lines) == 20 + 10
    asked = {re.sub(r"\W+", " ", row.split("|")[1]).strip().lower() for row in ROWS}
    assert [line for line in lines if re.sub(r"\W+", " ", line).strip().lower() not in asked] == []
