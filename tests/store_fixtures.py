"""What tests of all folders share: a PostgreSQL, and stores on each product."""

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from bookline.stores import opening
from bookline.stores.library import SqlLibrary
from bookline.stores.opening import Stores
from postgres_server import PostgresServer

Clock = Callable[[], int]
OpenStores = Callable[[Clock], Stores]
OpenLibrary = Callable[[], SqlLibrary]
PRODUCTS = ["sqlite", "postgres"]


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    base = tmp_path_factory.getbasetemp()
    run = base.parent if base.name.startswith("popen-gw") else base
    # Its own user must reach it, and no other's folder lets it.
    made = PostgresServer(Path(tempfile.gettempdir()) / f"bookline-{run.parent.name}-{run.name}")
    yield made
    made.stop()


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database."""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture(scope="session")
def migrated(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with all tables, to be copied: that takes half the time of making them."""
    url = postgres_server.new_database()
    storage = opening.open_storage(url, tmp_path_factory.mktemp("migrated"))
    opening.stores_in(storage, lambda: 0)
    opening.library_in(storage)
    storage.close()
    return url


@pytest.fixture
def migrated_url(postgres_server: PostgresServer, migrated: str) -> Iterator[str]:
    """A database with all tables, and nothing in them."""
    url = postgres_server.new_database(like=migrated)
    yield url
    postgres_server.drop_database(url)


@pytest.fixture(params=PRODUCTS)
def open_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStores]:
    """Opens the journal's tables, each time anew as another process does; on each product."""
    opened: list[Callable[[], None]] = []

    def on_sqlite(clock: Clock) -> Stores:
        stores = opening.open_stores(tmp_path, clock)
        opened.append(stores.journal.close)
        return stores

    def on_postgres(clock: Clock) -> Stores:
        storage = opening.open_storage(url, tmp_path)
        opened.append(storage.close)
        return opening.stores_in(storage, clock)

    if request.param == "postgres":
        url: str = request.getfixturevalue("migrated_url")
    yield on_sqlite if request.param == "sqlite" else on_postgres
    for close in reversed(opened):
        close()


@pytest.fixture(params=PRODUCTS)
async def open_library(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[OpenLibrary]:
    """The same for the library's tables."""
    opened: list[SqlLibrary] = []
    connected: list[Callable[[], None]] = []

    def on_sqlite() -> SqlLibrary:
        opened.append(opening.open_library(tmp_path / "library.db"))
        return opened[-1]

    def on_postgres() -> SqlLibrary:
        storage = opening.open_storage(url, tmp_path)
        connected.append(storage.close)
        opened.append(opening.library_in(storage))
        return opened[-1]

    if request.param == "postgres":
        url: str = request.getfixturevalue("migrated_url")
    yield on_sqlite if request.param == "sqlite" else on_postgres
    for library in opened:
        await library.close()
    for close in connected:
        close()
