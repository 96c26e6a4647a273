"""A backup of a running Bookline, put back elsewhere, is that Bookline at that moment."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from io import BufferedReader
from pathlib import Path

import pytest
from stack import server, statuses

from bookline.cli.backups import back_up, restore
from bookline.errors import BooklineError, Refused
from bookline.settings import Settings, read_settings
from bookline_sandbox import Sandbox
from postgres_server import PostgresServer

ISBN, OTHER = "9780451524935", "9780142437247"


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


def settings_of(folder: Path) -> Settings:
    return read_settings({"BOOKLINE_DATA_DIR": str(folder)}, None)


async def test_what_runs_is_backed_up_and_goes_on_where_it_is_restored(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "books.backup"
    async with server(sandbox.settings(), here) as running:
        await running.finished(ISBN)
        sandbox.faults.add(kind="503", isbn=OTHER, route="google_books", times=None, retry_after=60)
        open_job = (await running.begin(OTHER, source="google_books"))["jobId"]
        await running.until(open_job, "running")

        made = back_up(settings_of(here), file).to_json()

        await running.kill()
    assert (made["covers"], made["bytes"]) == (1, file.stat().st_size)
    assert {"engine.db", "journal.db", "library.db"} <= set(made["databases"])
    assert file.stat().st_mode & 0o077 == 0

    restore(settings_of(there), file)

    sandbox.faults.clear()
    async with server(sandbox.settings(), there) as running:
        assert (await running.get(f"/v2/books/{ISBN}"))[0] == 200
        assert (await running.get(f"/v2/covers/{ISBN}"))[0] == 200
        await running.kill()
    assert (there / "token-secret").read_text() == (here / "token-secret").read_text()


async def test_the_commands_say_what_they_did(sandbox: Sandbox, tmp_path: Path) -> None:
    async with server(sandbox.settings(), tmp_path / "data") as running:
        await running.finished(ISBN)

    backed = bookline(tmp_path / "data", "backup", str(tmp_path / "one"), "--json")
    again = bookline(tmp_path / "data", "backup", str(tmp_path / "one"))
    over = bookline(tmp_path / "data", "restore", str(tmp_path / "one"))
    restored = bookline(tmp_path / "new", "restore", str(tmp_path / "one"))

    assert (backed.returncode, json.loads(backed.stdout)["covers"]) == (0, 1)
    assert again.returncode == over.returncode == 2
    assert "is there already" in again.stderr
    assert "move it away first" in over.stderr
    assert restored.returncode == 0
    assert "and 1 cover\n" in restored.stdout


async def test_only_covers_are_taken_from_the_folder_and_as_one_file_each(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(sandbox.settings(), tmp_path / "data") as running:
        await running.finished(ISBN)
    kept = tmp_path / "data" / "objects"
    (kept / "checks").mkdir(exist_ok=True)
    (kept / "checks" / "write").write_bytes(b"")
    (kept / "covers" / f"{OTHER}.jpg#1").write_bytes(b"half of a cover")
    cover = kept / "covers" / f"{ISBN}.jpg"
    removed = kept / "covers" / "9799999999999.jpg"
    removed.write_bytes(b"taken away during the backup")
    digest = hashlib.file_digest

    def replaced_behind_its_hash(file: BufferedReader, name: str) -> object:
        made = digest(file, name)
        if file.name == str(cover):
            (kept / "new").write_bytes(b"another cover")
            (kept / "new").rename(cover)
            removed.unlink()
        return made

    monkeypatch.setattr(hashlib, "file_digest", replaced_behind_its_hash)

    made = back_up(settings_of(tmp_path / "data"), tmp_path / "file")

    monkeypatch.setattr(hashlib, "file_digest", digest)
    restore(settings_of(tmp_path / "new"), tmp_path / "file")
    covers = [path.name for path in (tmp_path / "new" / "objects").rglob("*") if path.is_file()]
    assert made.to_json()["covers"] == 1
    assert covers == [cover.name]


def bookline(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    return subprocess.run(
        [sys.executable, "-m", "bookline", *words], capture_output=True, text=True, check=False,
        env={**clean, "BOOKLINE_DATA_DIR": str(folder)}, cwd=folder.parent,
    )  # fmt: skip


async def a_backup(sandbox: Sandbox, folder: Path) -> Path:
    async with server(sandbox.settings(), folder / "data") as running:
        await running.finished(ISBN)
    back_up(settings_of(folder / "data"), folder / "file")
    return folder / "file"


async def test_a_file_that_was_cut_or_changed_is_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    file = await a_backup(sandbox, tmp_path)
    whole = file.read_bytes()
    place = whole.index(b"SQLite format 3") + 100
    for name, damaged in {
        "cut": whole[: len(whole) // 2],
        "changed": whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :],
        "other": b"no tar at all" * 1000,
    }.items():
        file.write_bytes(damaged)

        with pytest.raises(Refused):
            restore(settings_of(tmp_path / name), file)
        assert not list((tmp_path / name).glob("*.db"))


async def test_nothing_to_back_up_and_postgres_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="nothing to back up"):
        back_up(settings_of(tmp_path / "none"), tmp_path / "file")
    with pytest.raises(Refused, match="pg_dump"):
        back_up(
            read_settings({"BOOKLINE_DATABASE_URL": "postgresql://host/books"}, None),
            tmp_path / "file",
        )


async def test_the_recipe_for_postgres_restores_everything(
    sandbox: Sandbox, postgres_server: PostgresServer, postgres_url: str, tmp_path: Path
) -> None:
    covers = f"file://{tmp_path}/covers"
    env = sandbox.settings() | {"BOOKLINE_OBJECT_STORE_URL": covers}
    async with server(env | {"BOOKLINE_DATABASE_URL": postgres_url}, tmp_path / "one") as running:
        job_id = (await running.finished(ISBN))["jobId"]
    restored, dump = postgres_server.new_database(), str(tmp_path / "books.dump")

    postgres_server.run("pg_dump", "--format=custom", f"--file={dump}", postgres_url)
    postgres_server.run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={restored}", dump)

    async with server(env | {"BOOKLINE_DATABASE_URL": restored}, tmp_path / "two") as running:
        assert (await running.get(f"/v2/books/{ISBN}"))[0] == 200
        assert (await running.get("/v2/books"))[1]["data"]["total"] == 1
        assert statuses(await running.story(job_id))[-1] == "completed"
    postgres_server.drop_database(restored)
    shutil.rmtree(tmp_path / "covers")


def test_a_file_that_cannot_be_had_is_named_and_makes_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "journal.db").write_bytes(b"a database")
    (tmp_path / "page.html").write_text("<html>")
    new = settings_of(tmp_path / "new")

    tries: list[tuple[Callable[[Settings, Path], object], Settings, Path, str]] = [
        (back_up, settings_of(tmp_path / "data"), tmp_path / "no" / "file", "cannot write"),
        (restore, new, tmp_path / "none", "cannot read"),
        (restore, new, tmp_path / "page.html", "is no backup of Bookline"),
    ]
    for work, settings, file, says in tries:
        with pytest.raises(BooklineError, match=says) as raised:
            work(settings, file)
        assert "Errno" not in str(raised.value)
        assert "draft" not in str(raised.value)

    assert not (tmp_path / "new").exists()
