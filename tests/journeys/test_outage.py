"""PostgreSQL is away for a while: requests are told so, running imports go on when it is back."""

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from stack import PATIENCE_SECONDS, Server, seqs, server, statuses

from bookline.errors import StoreDown
from bookline.stores.database import Session
from bookline.stores.opening import open_storage, stores_in
from bookline_sandbox import Sandbox
from postgres_server import PostgresServer

MILESTONES = ["started", "metadata_fetched", "cover_uploaded", "embedding_generated", "completed"]


class Line:
    """A TCP line to PostgreSQL's socket that can be cut."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._database = parts.path
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}{self._database}"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Every connection breaks, and no other one can be had."""
        assert self._server is not None
        self._server.close()
        for end in list(self._ends):
            end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._socket)
        self._ends |= {writer, back}
        async with asyncio.TaskGroup() as both:
            both.create_task(_copy(reader, back))
            both.create_task(_copy(there, writer))
        self._ends -= {writer, back}


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def a_line(url: str) -> AsyncIterator[Line]:
    line = Line(url)
    await line.mend()
    try:
        yield line
    finally:
        line.cut()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox() as running:
        yield running


async def slow_imports(node: Server, sandbox: Sandbox) -> list[str]:
    """Twelve that end one after another."""
    isbns = sandbox.make(12)
    for place, isbn in enumerate(isbns):
        sandbox.faults.add(kind="delay", ms=200 * place, isbn=isbn, route="google_books")
    return [(await node.begin(isbn))["jobId"] for isbn in isbns]


async def all_end_well(node: Server, jobs: list[str]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await node.get("/readyz"))[0] != 200:
            await asyncio.sleep(0.1)
        stories = [await node.story(job_id) for job_id in jobs]
    for story in stories:
        assert statuses(story) == MILESTONES
        assert seqs(story) == list(range(1, len(story) + 1))
    assert Counter(story[-1]["status"] for story in stories) == {"completed": len(jobs)}
    assert not [m for story in stories for m in story if m["type"] == "workflow_warning"]


async def outlive(node: Server, line: Line, sandbox: Sandbox, seconds: float) -> None:
    jobs = await slow_imports(node, sandbox)

    line.cut()
    began = asyncio.get_running_loop().time()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await node.get("/readyz"))[0] != 503:
            await asyncio.sleep(0.1)
    asked, answer, headers = await node.get("/v2/books")
    started, refused, more = await node.post("/v2/import/workflow", {"isbn": sandbox.make(1)[0]})
    await asyncio.sleep(began + seconds - asyncio.get_running_loop().time())
    await line.mend()

    assert (asked, answer["error"]["code"], "Retry-After" in headers) == (503, "UNAVAILABLE", True)
    assert (started, refused["error"]["code"], "Retry-After" in more) == (503, "UNAVAILABLE", True)
    await all_end_well(node, jobs)
    assert line.url.partition("@")[2] not in str(answer)  # where it stands is nobody's business


async def test_a_short_outage_fails_nothing(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> None:
    async with a_line(postgres_url) as line:
        env = sandbox.settings() | {"BOOKLINE_DATABASE_URL": line.url}
        async with server(env, tmp_path / "data") as node:
            await outlive(node, line, sandbox, 4.0)


@pytest.mark.slow
async def test_an_outage_of_20_s_fails_nothing(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> None:
    async with a_line(postgres_url) as line:
        env = sandbox.settings() | {"BOOKLINE_DATABASE_URL": line.url}
        async with server(env, tmp_path / "data") as node:
            await outlive(node, line, sandbox, 20.0)


@pytest.mark.slow
async def test_with_two_hosts_a_node_goes_to_the_one_that_answers(
    sandbox: Sandbox, postgres_url: str, tmp_path: Path
) -> None:
    """As after a failover: libpq asks the hosts of the URL in turn for one that takes writes."""
    async with a_line(postgres_url) as first, a_line(postgres_url) as second:
        both = first.url.partition("@")[2].partition("/")[0] + ","
        url = second.url.replace("@", f"@{both}")
        env = sandbox.settings() | {"BOOKLINE_DATABASE_URL": url}
        async with server(env, tmp_path / "data") as node:
            await node.finished(sandbox.make(1)[0])

            first.cut()

            job_id = (await node.begin(sandbox.make(1)[0]))["jobId"]
            async with asyncio.timeout(PATIENCE_SECONDS):  # what the cut has caught is waited out
                while (await node.job(job_id))["status"] != "completed":
                    await asyncio.sleep(0.1)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """One that the test alone uses, and may restart."""
    with tempfile.TemporaryDirectory(prefix="bookline-") as folder:
        server = PostgresServer(Path(folder) / "one", keeps_commits=True)
        yield server
        server.stop()


@pytest.mark.slow
@pytest.mark.parametrize("how", ["fast", "immediate"])
async def test_a_restart_of_postgres_itself_fails_nothing(
    sandbox: Sandbox, own_postgres: PostgresServer, tmp_path: Path, how: str
) -> None:
    env = sandbox.settings() | {"BOOKLINE_DATABASE_URL": own_postgres.new_database()}
    async with server(env, tmp_path / "data") as node:
        jobs = await slow_imports(node, sandbox)
        for _ in range(3):
            await asyncio.to_thread(own_postgres.restart, how)
            await asyncio.sleep(0.7)

        await all_end_well(node, jobs)


async def test_what_a_crash_of_postgres_broke_off_left_nothing_and_the_next_is_kept(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    """The connection ends between two statements of one transaction."""
    storage = open_storage(own_postgres.new_database(), tmp_path)
    database = stores_in(storage, lambda: 0).journal.database
    began = []

    def add(session: Session) -> None:
        began.append(1)
        session.execute("INSERT INTO nodes (node, seen_ms) VALUES ('first', 1)")
        if len(began) == 1:
            own_postgres.restart("immediate")
        session.execute("INSERT INTO nodes (node, seen_ms) VALUES ('second', 1)")

    def count(session: Session) -> int:
        found: int = session.execute("SELECT count(*) AS found FROM nodes")[0]["found"]
        return found

    with pytest.raises(StoreDown):  # and not asked again: it might have been kept
        await database.write(add)
    left = await database.look_up(count)
    await database.write(add)

    assert (left, await database.look_up(count), len(began)) == (0, 2, 2)
    storage.close()


@pytest.mark.slow
@pytest.mark.parametrize("first", ["primary", "replica"])
async def test_a_replica_that_is_promoted_takes_over(
    sandbox: Sandbox, own_postgres: PostgresServer, tmp_path: Path, first: str
) -> None:
    """A real one that streams; the URL names both, the one that takes writes first or last."""
    url = own_postgres.new_database()
    replica = own_postgres.replica(own_postgres.folder.with_name("other"))
    own_postgres.set("synchronous_standby_names", "*")  # what is committed is there, too
    hosts = [str(own_postgres.folder), str(replica.folder)]
    both = ",".join(hosts if first == "primary" else reversed(hosts))
    env = sandbox.settings() | {"BOOKLINE_DATABASE_URL": url.partition("=")[0] + f"={both}"}
    try:
        async with server(env, tmp_path / "data") as node:
            jobs = await slow_imports(node, sandbox)
            await asyncio.sleep(0.7)
            await asyncio.to_thread(own_postgres.end, "immediate")
            await asyncio.sleep(1.0)  # nobody takes writes
            await asyncio.to_thread(replica.promote)

            await all_end_well(node, jobs)
    finally:
        replica.stop()
