"""Tables on terminals of any width, and for programs."""

import io
import re

import pytest

from bookline.cli import show

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
HEADS = ("job", "status", "created (UTC)", "title")
JOB = "import-9780142437247-1796004356406-DLPQQFd7p3gLmUQI"
ROWS: list[list[object]] = [
    [JOB, "completed", "2026-11-30 02:05:56", "The Secret Life of Bees"],
    [JOB, "failed", "2026-11-30 02:05:57", None],
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, columns: int, stdout: io.StringIO) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdout", stdout)
    show.table(HEADS, ROWS, "nothing")
    return [line.rstrip() for line in ESCAPES.sub("", stdout.getvalue()).splitlines()]


@pytest.mark.parametrize("columns", [40, 60, 80, 96, 120, 200])
def test_no_value_is_cut_on_a_terminal_of_any_width(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    lines = shown(monkeypatch, columns, Terminal())

    assert max(map(len, lines)) <= columns
    text = " ".join("".join(lines).split())
    assert text.count(JOB) == 2
    for value in ("completed", "failed", "2026-11-30 02:05:56", "created (UTC)", "Bees"):
        assert value in " ".join(" ".join(lines).split())


def test_a_narrow_terminal_has_two_lines_a_row_and_a_wide_one_a_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = shown(monkeypatch, 80, Terminal())
    wide = shown(monkeypatch, 120, Terminal())

    assert narrow == [
        "job",
        "    status · created (UTC) · title",
        JOB,
        "    completed · 2026-11-30 02:05:56 · The Secret Life of Bees",
        JOB,
        "    failed · 2026-11-30 02:05:57",
    ]
    assert len(wide) == 3
    assert wide[1].split("  ")[0] == JOB


def test_programs_get_a_line_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 40, io.StringIO())

    assert [line.split("\t")[0] for line in lines] == [JOB, JOB]
