"""The folder with all that is kept on this machine: private, written whole, missed when it is gone.

Rule 1:  a small file is there whole or not at all, whatever happens while it is written.
Rule 2:  a database that was kept here before is never made anew in silence.
Source:  fsync(2), link(2): a file's name lasts once its folder is synced too.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from bookline.errors import Refused, StoreDown

DATABASES = ("engine.db", "journal.db", "library.db", "legacy.db", "fallback.db")
KEPT_FILE = "databases"
"""Names, one a line, of the databases that this folder has held."""


def make_private(folder: Path) -> None:
    """The folder, open to its owner only where it is made now. Raises: OSError."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)


def write_once(path: Path, text: str) -> None:
    """The text in a file that only its owner reads; one that is there already stays as it is.

    Raises: OSError, and then there is no file of this name that was not there before.
    """
    _write(path, text, lambda draft: _link(draft, path))


def write_whole(path: Path, text: str) -> None:
    """The same, in place of a file that is there already."""
    _write(path, text, lambda draft: draft.replace(path))


def find_missing(folder: Path) -> list[str]:
    """Databases that the folder has held and that are missing or empty now."""
    return [name for name in _read_kept(folder) if not _holds(folder / name)]


def check_databases(folder: Path) -> None:
    """Raises: Refused when a database that was here is missing or empty."""
    if missing := find_missing(folder):
        raise Refused(
            "UNAVAILABLE",
            f"{', '.join(missing)} in {folder} is missing or empty, but was there before: restore "
            f"it from a backup. To begin without it, remove the file {KEPT_FILE} there",
        )


def remember_databases(folder: Path) -> None:
    """Notes which databases the folder holds, for the next start. Raises: StoreDown."""
    here = [name for name in DATABASES if _holds(folder / name)]
    names = sorted({*_read_kept(folder), *here})
    if names == _read_kept(folder):
        return
    try:
        write_whole(folder / KEPT_FILE, "".join(f"{name}\n" for name in names))
    except OSError as error:
        raise StoreDown(f"cannot write {folder / KEPT_FILE}: {error.strerror}") from error


def holds_databases(folder: Path) -> bool:
    """Whether Bookline has kept something here."""
    return any(_holds(folder / name) for name in DATABASES)


def _read_kept(folder: Path) -> list[str]:
    try:
        lines = (folder / KEPT_FILE).read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if line in DATABASES]


def _holds(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _write(path: Path, text: str, publish: Callable[[Path], object]) -> None:
    make_private(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        publish(draft)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link(draft: Path, path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.hardlink_to(draft)
