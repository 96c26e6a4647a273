"""A library file on the command line: its preview, plain lists with comments, one bar."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bookline.cli.batch_commands import read_list
from bookline.cli.batch_view import BatchView, is_good, sentence
from bookline.cli.main import app
from bookline.errors import Refused
from bookline.progress.batches import Item, item_data, standing

EXPORT = (
    b'Title,Author,ISBN\n1984,Orwell,451524934\nKindle,Ann,\n1984 again,Orwell,"=""0451524934"""\n'
)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"9780451524935 # mine\n\n# nothing\n", b"9780451524935\n"),
        ("✓ 9780142437247  Moby-Dick\n9780451524935  # X: y\n".encode(), b"9780451524935\n"),
        (EXPORT, EXPORT),
        (b"nothing at all", b"nothing at all"),
    ],
)
def test_a_plain_list_is_read_without_its_comments(data: bytes, kept: bytes) -> None:
    assert read_list(data) == kept


def test_a_spreadsheet_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="Excel"):
        read_list(b"PK\x03\x04")


def test_a_preview_says_what_is_in_a_file_and_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "books.csv"
    path.write_bytes(EXPORT)
    monkeypatch.setenv("BOOKLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BOOKLINE_EMBEDDER", "none")
    monkeypatch.setenv("BOOKLINE_PORT", "1")

    said = CliRunner().invoke(app, ["import", "--file", str(path), "--preview"])

    assert said.exit_code == 0, said.output
    assert said.stdout.splitlines() == [
        "csv, utf-8: 3 rows",
        "  2 with an ISBN, 1 duplicate",
        "  1 without one, to be looked up by title and author",
        "  1 ISBN whose lost zeros were restored",
    ]


@pytest.mark.parametrize("more", [["--preview"], []])
def test_a_file_that_is_too_large_is_refused_in_words(
    more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "books.csv"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    monkeypatch.setenv("BOOKLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BOOKLINE_EMBEDDER", "none")
    monkeypatch.setenv("BOOKLINE_PORT", "1")

    said = CliRunner().invoke(app, ["import", "--file", str(path), *more])

    assert said.exit_code == 2, said.output
    assert "larger than 20 MB. Divide it and send the parts." in said.stderr


# ------------------------------------------------------------------ the view
EARLIER, LATER = "2026-11-22T22:55:30.000Z", "2026-11-22T22:55:31.000Z"


def batch(**counts: int) -> dict[str, Any]:
    return {"batchId": "batch-1", "lastUpdated": EARLIER, **standing(counts, 65)}


def item(state: str, error: dict[str, str] | None = None, at: str = LATER) -> dict[str, Any]:
    data = item_data(Item(index=3, input="x", isbn="9780451524935", state=state, error=error))
    return {"type": "batch_item", "timestamp": at, "data": data}


def test_what_did_not_arrive_is_told_at_once_and_what_did_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with BatchView(batch(queued=4, failed=1), as_json=False) as view:
        view.hear(item("completed"))
        view.hear(item("failed", {"code": "BOOK_NOT_FOUND", "message": "no\x1b[31m"}))
        view.hear(item("review"))
        view.hear(item("cancelled", {"code": "CANCELLED", "message": "as asked"}))  # counted only
        view.hear(item("failed", at=EARLIER))  # of an earlier watch
        words = view.words()

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "✗ 9780451524935  BOOK_NOT_FOUND: no [31m", "? 9780451524935  which book is meant?",
    ]  # fmt: skip
    assert words.endswith("/s, 1:05 left, 2 failed, 1 to review, 1 cancelled")


def test_no_rate_is_told_before_something_has_ended() -> None:
    with BatchView(batch(queued=3, failed=1), as_json=False) as view:
        assert view.words() == "1:05 left, 1 failed"


def test_json_carries_every_message(capsys: pytest.CaptureFixture[str]) -> None:
    with BatchView(batch(queued=1), as_json=True) as view:
        view.hear(item("completed"))

    assert json.loads(capsys.readouterr().out) == item("completed")


@pytest.mark.parametrize(
    ("counts", "words", "good"),
    [
        ({"completed": 1}, "1 item imported", True),
        (
            {"completed": 340, "completedWithWarnings": 2, "alreadyThere": 8},
            "342 items imported, 2 with warnings, 8 there already",
            True,
        ),
        (
            {"failed": 3, "refused": 1, "review": 2, "skipped": 1},
            "0 items imported; 3 failed, 1 refused, 2 to review, 1 skipped",
            False,
        ),
        ({"skipped": 1}, "0 items imported; 1 skipped", True),
        ({"cancelled": 1}, "0 items imported; 1 cancelled", False),
    ],
)
def test_a_batch_is_summed_up_in_a_sentence(counts: dict[str, int], words: str, good: bool) -> None:
    assert sentence(batch(**counts)) == words
    assert is_good(batch(**counts)) is good
