"""What Bookline needs, looked at one by one, with what to do about what is wrong.

Way:      the command ``doctor`` → here → app.py, the providers' addresses
Rule 1:   a fault is what keeps it from working; what only limits it is a warning.
Rule 2:   no check can end the others.
"""

import asyncio
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bookline.api.keys import SECRET_FILE
from bookline.cli.opening import find_server
from bookline.errors import BooklineError
from bookline.job import QUEUED, RUNNING
from bookline.ports import Embedder
from bookline.setting_values import address
from bookline.settings import LEAST_SECRET, Settings
from bookline.values import Json

OK, WARNING, FAULT = "ok", "warning", "fault"
LIMITING = frozenset({"providers", "webhooks"})  # what imports wait for, or do without
SIGNS = {OK: "✓", WARNING: "!", FAULT: "✗"}
LEAST_PYTHON = (3, 11)
LEAST_SQLITE = (3, 35, 0)  # RETURNING
LOW_SPACE_BYTES = 1_000_000_000  # our choice: some ten thousand covers
REACH_SECONDS = 3.0
EMBED_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: str
    detail: str
    todo: str = ""
    """What to do about it."""

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "state": self.state,
            "detail": self.detail,
            "todo": self.todo or None,
        }


def line(finding: Finding) -> str:
    """As people read it."""
    todo = f"\n    {finding.todo}" if finding.todo else ""
    return f"{SIGNS[finding.state]} {finding.name}: {finding.detail}{todo}"


def is_well(findings: list[Finding]) -> bool:
    return all(finding.state != FAULT for finding in findings)


async def examine(settings: Settings, server: str | None) -> AsyncGenerator[Finding, None]:
    """Every finding, as it is found."""
    yield _python()
    yield _sqlite()
    yield _engine()
    for finding in _data_dir(settings.data_dir):
        yield finding
    for finding in _limits(settings):
        yield finding
    for finding in await _providers(settings):
        yield finding
    yield await _server(settings, server)
    async with aclosing(_running(settings)) as findings:
        async for finding in findings:
            yield finding


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= LEAST_PYTHON:
        return Finding(name="python", state=OK, detail=version)
    return Finding(name="python", state=FAULT, detail=version, todo="install Python 3.11 or newer")


def _sqlite() -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= LEAST_SQLITE:
        return Finding(name="sqlite", state=OK, detail=version)
    todo = "use a Python whose SQLite is 3.35 or newer"
    return Finding(name="sqlite", state=FAULT, detail=version, todo=todo)


def _engine() -> Finding:
    """DBOS, and whether its statements are prepared once."""
    from bookline.engine import dbos_known

    reason = dbos_known.why_not()
    if reason is None:
        return Finding(name="dbos", state=OK, detail="with prepared statements")
    todo = "nothing fails; for less CPU an import, install the versions in constraints.txt"
    return Finding(name="dbos", state=WARNING, detail=f"slower: {reason}", todo=todo)


def _data_dir(folder: Path) -> list[Finding]:
    name = "data folder"
    if not folder.exists():
        return [Finding(name=name, state=OK, detail=f"{folder} is made at the first import")]
    try:
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        todo = "make it writable, or set BOOKLINE_DATA_DIR"
        return [Finding(name=name, state=FAULT, detail=f"{folder}: {error.strerror}", todo=todo)]
    found = [Finding(name=name, state=OK, detail=f"{folder} is writable")]
    if folder.stat().st_mode & 0o077:
        found.append(_limit("data folder", f"others may read {folder}", f"chmod 700 {folder}"))
    if (secret := folder / SECRET_FILE).exists() and secret.stat().st_size < LEAST_SECRET:
        detail = f"fewer than {LEAST_SECRET} characters: tokens could be forged"
        todo = f"remove {secret}; a new one is made"
        found.append(Finding(name=SECRET_FILE, state=FAULT, detail=detail, todo=todo))
    detail = f"{free / 1e9:,.1f} GB are free"
    if free < LOW_SPACE_BYTES:
        todo = "make room: each cover takes about 100 KB"
        return [*found, Finding(name="disk", state=WARNING, detail=detail, todo=todo)]
    return [*found, Finding(name="disk", state=OK, detail=detail)]


def _limits(settings: Settings) -> list[Finding]:
    found = []
    usable = ", then ".join(settings.usable_sources)
    found.append(Finding(name="sources", state=OK, detail=f"auto asks {usable}"))
    if "google_books" not in settings.usable_sources:
        todo = "set BOOKLINE_GOOGLE_BOOKS_API_KEY (free: console.cloud.google.com, Books API)"
        found.append(_limit("google_books", "not usable without a key", todo))
    if "isbndb" not in settings.usable_sources:
        todo = "set BOOKLINE_ISBNDB_API_KEY (paid: isbndb.com)"
        found.append(_limit("isbndb", "not usable without a key", todo))
    if not settings.contact:
        todo = "set BOOKLINE_CONTACT to your e-mail or web address: it then takes 3 a second"
        found.append(_limit("contact", "Open Library may take only 1 question a second", todo))
    if settings.embedder == "none":
        found.append(_limit("search", "off", "set BOOKLINE_EMBEDDER=local to search by meaning"))
    if not settings.library:
        todo = "set BOOKLINE_LIBRARY=on; the books move into it by themselves"
        found.append(_limit("library", "off: books go to the fallback store", todo))
    return found


def _limit(name: str, detail: str, todo: str) -> Finding:
    return Finding(name=name, state=WARNING, detail=detail, todo=todo)


async def _providers(settings: Settings) -> list[Finding]:
    """Whether each that would be asked answers at all; which status does not matter."""
    urls = {
        "google_books": settings.google_books_url,
        "openlibrary": settings.openlibrary_url,
        "isbndb": settings.isbndb_url,
    }
    timeout = aiohttp.ClientTimeout(total=REACH_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        reached = [_reach(session, name, urls[name]) for name in settings.usable_sources]
        return await asyncio.gather(*reached)


async def _reach(session: aiohttp.ClientSession, name: str, url: str) -> Finding:
    try:
        async with session.head(url):
            return Finding(name=name, state=OK, detail=f"{url} answers")
    except (aiohttp.ClientError, TimeoutError, OSError):
        todo = "imports wait for it and then fail; is there a network?"
        return _limit(name, f"{url} does not answer within {REACH_SECONDS:g} s", todo)


async def _server(settings: Settings, server: str | None) -> Finding:
    if server is None and settings.port == 0:
        return Finding(name="server", state=OK, detail="not looked for: BOOKLINE_PORT is 0")
    url = server or address(settings.host, settings.port)
    if await find_server(url):
        return Finding(name="server", state=OK, detail=f"runs at {url}")
    if server:
        return Finding(
            name="server", state=FAULT, detail=f"no Bookline answers at {url}",
            todo="start it with `bookline serve`, or leave --server out",
        )  # fmt: skip
    return Finding(name="server", state=OK, detail=f"none at {url}: commands run by themselves")


async def _running(settings: Settings) -> AsyncGenerator[Finding, None]:
    """What shows only when Bookline runs."""
    from bookline.cli.embedded import quiet_logs

    quiet_logs(settings)
    try:
        from bookline.app import running

        async with _somewhere(settings) as here, running(here) as app:
            for name, state in (await app.check()).items():
                if state["ok"]:
                    yield Finding(name=name, state=OK, detail="answers")
                else:
                    grade = WARNING if name in LIMITING else FAULT
                    yield Finding(name=name, state=grade, detail=str(state["detail"]))
            if app.embedder is not None:
                yield await _embedder(app.embedder)
            counts = await app.journal.counts()
            waiting = counts.get(QUEUED, 0) + counts.get(RUNNING, 0)
            yield Finding(name="imports", state=OK, detail=f"{waiting} not finished")
    except OSError as error:
        yield Finding(name="bookline", state=FAULT, detail=error.strerror or str(error))
    except BooklineError as error:
        yield Finding(name="bookline", state=FAULT, detail=str(error))


async def _embedder(embedder: Embedder) -> Finding:
    try:
        async with asyncio.timeout(EMBED_SECONDS):
            made = await embedder.embed("book")
    except TimeoutError:
        detail = f"no answer within {EMBED_SECONDS:g} s"
    except BooklineError as error:
        detail = str(error)
    else:
        detail = f"{made.model}, {made.dimensions} dimensions"
        return Finding(name="embedder", state=OK, detail=detail)
    todo = "check BOOKLINE_EMBEDDER and the settings that begin with it"
    return Finding(name="embedder", state=FAULT, detail=detail, todo=todo)


@asynccontextmanager
async def _somewhere(settings: Settings) -> AsyncIterator[Settings]:
    """These settings; while nothing has been kept, with a folder that goes away again."""
    if settings.database_dir.exists() or settings.data_dir.exists():
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="bookline-doctor-") as folder:
        yield settings.model_copy(update={"data_dir": Path(folder), "database_url": ""})
