"""The data folder: private, and missed when something in it is gone."""

from pathlib import Path

import pytest

from bookline.errors import Refused
from bookline.folders import (
    check_databases,
    find_missing,
    make_private,
    remember_databases,
    write_whole,
)


def test_a_folder_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    make_private(tmp_path / "new" / "data")

    assert (tmp_path / "new" / "data").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)

    make_private(tmp_path)

    assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["journal.db", "engine.db", "library.db"])
@pytest.mark.parametrize("is_gone", [True, False], ids=["gone", "empty"])
def test_a_database_that_was_there_is_missed_by_name(
    tmp_path: Path, name: str, is_gone: bool
) -> None:
    for kept in ("journal.db", "engine.db", "library.db"):
        (tmp_path / kept).write_bytes(b"SQLite")
    remember_databases(tmp_path)

    if is_gone:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(b"")

    assert find_missing(tmp_path) == [name]
    with pytest.raises(Refused, match=name):
        check_databases(tmp_path)


def test_a_database_that_never_was_is_not_missed(tmp_path: Path) -> None:
    """Without a library, or at the first start."""
    check_databases(tmp_path / "none")
    (tmp_path / "journal.db").write_bytes(b"SQLite")
    remember_databases(tmp_path)

    check_databases(tmp_path)


def test_one_that_is_gone_is_not_forgotten_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "library.db").write_bytes(b"SQLite")
    remember_databases(tmp_path)
    (tmp_path / "library.db").unlink()
    (tmp_path / "journal.db").write_bytes(b"SQLite")

    remember_databases(tmp_path)

    assert find_missing(tmp_path) == ["library.db"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_whole(tmp_path / "note", "one")
    write_whole(tmp_path / "note", "two")

    assert [path.name for path in tmp_path.iterdir()] == ["note"]
    assert (tmp_path / "note").read_text() == "two"
