"""What the settings name, opened: where things are kept, and what is asked over the network.

Way:     app.py → here → stores/, net/, embedders/, steps/
Rule 1:  what is opened is put on the caller's stack at once, and closed with it, last first.
"""

import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from bookline.clocks import SharedClock, Steady
from bookline.embedders.opening import open_embedder
from bookline.embedders.together import EmbedderTogether
from bookline.errors import StoreDown
from bookline.folders import check_databases, make_private, remember_databases
from bookline.net.aiohttp_http import AiohttpHttp, user_agent
from bookline.net.cover_fetcher import GuardedCoverFetcher
from bookline.net.pace import SharedPace
from bookline.net.pictures import read_picture
from bookline.ports import EmbedderOfMany, KeyValue, ObjectStore
from bookline.providers import google_books, isbndb
from bookline.settings import EARLIER_DATA_DIR, Settings
from bookline.sources import providers_of
from bookline.steps.cover import UploadCover
from bookline.steps.embedding import GenerateEmbedding
from bookline.steps.joined import AllSteps
from bookline.steps.metadata import FetchMetadata
from bookline.steps.save import SaveBook
from bookline.stores.key_value import open_key_value
from bookline.stores.library import SqlLibrary
from bookline.stores.obstore_objects import open_objects
from bookline.stores.opening import Storage, Stores, library_in, open_storage, stores_in

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where things are kept."""

    storage: Storage
    clock: SharedClock
    steady: Steady
    """By which something is old."""
    stores: Stores
    library: SqlLibrary | None
    """None where the settings switch it off."""
    fallback: KeyValue
    objects: ObjectStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What is asked over the network, and the embedder, which may be."""

    pace: SharedPace
    http: AiohttpHttp
    covers: GuardedCoverFetcher
    embedder: EmbedderOfMany | None


async def open_kept(settings: Settings, stack: AsyncExitStack) -> Kept:
    """Raises: StoreDown when one cannot be opened, Refused when a database is missing."""
    _open_folders(settings)
    storage = open_storage(settings.postgres_url, settings.database_dir)
    stack.callback(storage.close)
    stores = stores_in(storage, storage.clock)
    stack.callback(stores.journal.close)
    steady = Steady(storage.clock, await stores.journal.last_moment())
    stores.journal.steady = stores.batches.steady = steady
    library = None
    if settings.library:
        library = library_in(storage)
        stack.push_async_callback(library.close)
    fallback = open_key_value(settings.kv_url, settings.data_dir, clock=steady)
    stack.push_async_callback(fallback.close)
    return Kept(
        storage=storage,
        clock=storage.clock,
        steady=steady,
        stores=stores,
        library=library,
        fallback=fallback,
        objects=open_objects(settings.object_store_url, settings.data_dir),
    )


def open_outside(settings: Settings, kept: Kept, stack: AsyncExitStack) -> Outside:
    """Raises: Refused for an embedder that cannot be had."""
    pace = SharedPace(
        kept.stores.limits,
        settings.provider_rates,
        {"google_books": google_books.quota_left, "isbndb": isbndb.quota_left},
    )
    http = AiohttpHttp(contact=settings.contact, pace=pace)
    stack.push_async_callback(http.aclose)
    covers = GuardedCoverFetcher(
        settings.cover_hosts, settings.allow_private_covers, user_agent(settings.contact)
    )
    stack.push_async_callback(covers.aclose)
    embedder = open_embedder(
        settings.embedder,
        settings.embedder_url,
        settings.embedder_model,
        settings.embedder_api_key.get_secret_value(),
        http,
    )
    return Outside(pace=pace, http=http, covers=covers, embedder=embedder)


def steps_of(settings: Settings, kept: Kept, outside: Outside) -> AllSteps:
    """The steps of a single import."""
    return AllSteps(
        metadata=FetchMetadata(
            providers_of(settings, outside.http), pace=outside.pace, complete=settings.complete
        ),
        cover=UploadCover(outside.covers, read_picture, kept.objects, kept.clock),
        embedding=GenerateEmbedding(outside.embedder),
        book=SaveBook(kept.library, kept.fallback, kept.objects, kept.clock),
    )


def batch_steps_of(settings: Settings, outside: Outside, steps: AllSteps) -> AllSteps:
    """Those of a batch's imports: what can be asked for many books at once, is."""
    together = providers_of(settings, outside.http, together=True)
    return replace(
        steps,
        metadata=FetchMetadata(together, pace=outside.pace, complete=settings.complete),
        embedding=GenerateEmbedding(outside.embedder and EmbedderTogether(outside.embedder)),
    )


def remember_kept(settings: Settings) -> None:
    """Once all databases are there: the next start misses one that is gone. Raises: StoreDown."""
    for folder in {settings.data_dir, settings.database_dir}:
        remember_databases(folder)


def _open_folders(settings: Settings) -> None:
    """Raises: StoreDown when one cannot be made, Refused when a database in it is missing."""
    if settings.data_dir == EARLIER_DATA_DIR:
        log.warning("the data lies in %s, as earlier versions kept it", EARLIER_DATA_DIR)
    for folder in {settings.data_dir, settings.database_dir}:
        check_databases(folder)
        try:
            make_private(folder)
        except OSError as error:
            raise StoreDown(f"cannot make {folder}: {error.strerror}") from error
