"""One file with everything that a deployment keeps on this machine, and back.

Way:      the commands ``backup`` and ``restore`` → here
Rule 1:   databases are copied whole while others write (SQLite's own backup), the engine's first:
          so the journal knows all jobs that the engine knows. Covers come last: one too many does
          no harm.
Rule 2:   a backup is there whole or not at all; the list at its end holds every file's hash.
Rule 3:   nothing is ever restored over what is there.
"""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import bookline
from bookline.api.keys import SECRET_FILE
from bookline.errors import Refused, StoreDown
from bookline.folders import holds_databases, make_private
from bookline.settings import Settings
from bookline.stores.key_value import FILE_NAME as FALLBACK
from bookline.stores.memory_objects import is_key
from bookline.stores.obstore_objects import FOLDER as COVERS
from bookline.values import Json

LIST = "backup.json"
FORMAT = "bookline-backup-1"
ORDER = ("engine.db", "legacy.db", "journal.db", FALLBACK, "library.db")
KNOWN = {*ORDER, SECRET_FILE}


@dataclass(kw_only=True)
class Backup:
    """What a backup holds: each file's name with its hash."""

    file: Path
    hashes: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> Json:
        databases = [name for name in ORDER if name in self.hashes]
        covers = sum(name.startswith(f"{COVERS}/") for name in self.hashes)
        size = self.file.stat().st_size
        return {"file": str(self.file), "bytes": size, "databases": databases, "covers": covers}


def back_up(settings: Settings, target: Path) -> Backup:
    """Writes the file. Raises: Refused, StoreDown."""
    if settings.postgres_url:
        raise Refused(
            "INVALID_REQUEST",
            "the data lies in PostgreSQL: back it up with pg_dump (docs/operating.md says how)",
        )
    if target.exists():
        raise Refused("INVALID_REQUEST", f"{target} is there already: name a new file")
    if not holds_databases(settings.database_dir):
        raise Refused("NOT_FOUND", f"there is nothing to back up in {settings.database_dir}")
    made = Backup(file=target)
    draft = target.with_name(f".{target.name}.draft")
    with _told_as_ours("write", target), tempfile.TemporaryDirectory(prefix="bookline-") as room:
        try:
            number = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(number, "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
                for name, path in _files(settings, Path(room)):
                    _add(archive, made, name, path)
                _add_list(archive, made)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return made


def restore(settings: Settings, source: Path) -> Backup:
    """Puts back what a backup holds. Raises: Refused, StoreDown."""
    if settings.postgres_url:
        raise Refused("INVALID_REQUEST", "the data lies in PostgreSQL: restore it with pg_restore")
    for folder in (settings.database_dir, settings.data_dir):
        if holds_databases(folder) or (folder / COVERS).exists():
            raise Refused(
                "INVALID_REQUEST",
                f"{folder} holds a Bookline's data already: move it away first",
            )
    with _told_as_ours("read", source):
        tarfile.open(source, mode="r:").close()  # before a folder is made for it
        make_private(settings.data_dir)
        make_private(settings.database_dir)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.data_dir) as room:
            made = _unpacked(source, Path(room))
            _put_in_place(settings, Path(room), made)
    return made


def _files(settings: Settings, room: Path) -> Iterator[tuple[str, Path]]:
    """Each name with a file that nobody changes any more."""
    for name in ORDER:
        folder = settings.data_dir if name == FALLBACK else settings.database_dir
        if (folder / name).exists():
            yield name, _copied(folder / name, room / name)
    if (secret := settings.data_dir / SECRET_FILE).exists():
        yield SECRET_FILE, secret
    kept = settings.data_dir / COVERS
    if not settings.object_store_url:
        for path in sorted((kept / "covers").glob("*")):
            if is_key(path.name):  # not a write that is under way
                yield f"{COVERS}/{path.relative_to(kept).as_posix()}", path


def _copied(path: Path, to: Path) -> Path:
    """A database as it is at one moment, while others write to it."""
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)) as source,
        closing(sqlite3.connect(to)) as target,
    ):
        source.backup(target)
    return to


def _add(archive: tarfile.TarFile, made: Backup, name: str, path: Path) -> None:
    """Adds a file as it is when opened; one that has been removed since is left out."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:  # opened once: a cover may be replaced between its hash and its copy
        made.hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        archive.addfile(archive.gettarinfo(arcname=name, fileobj=file), file)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _add_list(archive: tarfile.TarFile, made: Backup) -> None:
    told = {"format": FORMAT, "bookline": bookline.__version__, "files": made.hashes}
    text = json.dumps(told).encode()
    entry = tarfile.TarInfo(LIST)
    entry.size = len(text)
    archive.addfile(entry, io.BytesIO(text))


def _unpacked(source: Path, room: Path) -> Backup:
    """All files of a backup, as they were. Raises: Refused."""
    made = Backup(file=source)
    with tarfile.open(source, mode="r:") as archive:
        told = None
        for entry in archive:
            content = archive.extractfile(entry) if entry.isfile() else None
            if content is None or not _is_known(entry.name):
                raise Refused("INVALID_REQUEST", f"{source} is no backup of Bookline")
            if entry.name == LIST:
                told = json.load(content)
                continue
            path = room / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                shutil.copyfileobj(content, file)
            made.hashes[entry.name] = _hash(path)
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise Refused("INVALID_REQUEST", f"{source} is no whole backup of Bookline")
    if told.get("files") != made.hashes:
        raise Refused("INVALID_REQUEST", f"{source} is damaged: a file in it has changed")
    return made


def _is_known(name: str) -> bool:
    path = PurePosixPath(name)
    if name in KNOWN or name == LIST:
        return True
    return path.parts[:1] == (COVERS,) and ".." not in path.parts and not path.is_absolute()


def _put_in_place(settings: Settings, room: Path, made: Backup) -> None:
    """Covers and library first, the engine last: cut off in between, it shows as incomplete."""
    if (room / COVERS).exists():
        (room / COVERS).rename(settings.data_dir / COVERS)
    for name in (SECRET_FILE, *reversed(ORDER)):
        if name in made.hashes:
            is_elsewhere = name in {FALLBACK, SECRET_FILE}
            folder = settings.data_dir if is_elsewhere else settings.database_dir
            shutil.move(room / name, folder / name)
            (folder / name).chmod(0o600)


@contextmanager
def _told_as_ours(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except tarfile.TarError as error:
        raise Refused("INVALID_REQUEST", f"{path} is no backup of Bookline ({error})") from error
    except OSError as error:
        raise StoreDown(f"cannot {what} {path}: {error.strerror}") from error
    except (sqlite3.Error, ValueError) as error:
        raise StoreDown(f"cannot {what} {path}: {error}") from error
