"""An export on the command line: its books, its rows without an ISBN, its preview."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from bookline.cli.importing import read_wanted
from bookline.cli.library_file import (
    find_export,
    preview_lines,
    read_export,
    read_preview,
    together,
)
from bookline.cli.main import app
from bookline.errors import Refused

EXPORT = (
    b'Title,Author,ISBN\n1984,Orwell,451524934\nKindle,Ann,\n1984 again,Orwell,"=""0451524934"""\n'
)
ORWELL = "9780451524935"


def test_each_row_of_an_export_is_wanted_refused_or_a_repetition() -> None:
    file = find_export(EXPORT)
    assert file is not None

    wanted = read_export(file)

    assert wanted.isbns == [ORWELL]
    assert [error.text for error in wanted.refused] == ["line 3: Kindle"]
    assert wanted.repeated == [ORWELL]


@pytest.mark.parametrize("data", [b"9780451524935 # mine\n", b"", b"# nothing yet\n"])
def test_a_plain_list_stays_the_lists(data: bytes) -> None:
    assert find_export(data) is None


def test_a_spreadsheet_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="Excel"):
        find_export(b"PK\x03\x04")


def test_books_of_the_line_and_of_the_file_are_wanted_once() -> None:
    file = find_export(EXPORT)
    assert file is not None

    both = together(read_wanted(["0-451-52493-4"]), read_export(file))

    assert both.isbns == [ORWELL]
    assert len(both.repeated) == 2


def test_a_preview_says_what_is_in_a_file_and_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "books.csv"
    path.write_bytes(EXPORT)

    said = CliRunner().invoke(app, ["import", "--file", str(path), "--preview"])

    assert said.exit_code == 0
    assert said.stdout.splitlines() == list(preview_lines(read_preview(EXPORT)))
    assert "csv, utf-8: 3 rows" in said.stdout
