"""The plan's checklist is answered line by line, by tests and benchmarks that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plan-checklist.md").read_text("utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "shown by" not in line]


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


def test_each_line_of_the_plan_has_its_row() -> None:
    """20 lines to tick and 10 success metrics; none stands there twice."""
    lines = [row.split("|")[1].strip() for row in ROWS]

    assert len(lines) == len(set(lines)) == 20 + 10
