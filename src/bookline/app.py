"""The one place that chooses and joins: settings in, a running Bookline out.

Way:      cli/ and the server's entry → here → everything
Rule 1:   nobody imports this but them.
Rule 2:   one task group holds what runs for long; leaving ``running`` stops all of it in order.
"""

import asyncio
import contextlib
import importlib.util
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from bookline.aside import Aside
from bookline.batches.covers import CandidateCovers
from bookline.batches.feeder import Feeder
from bookline.batches.look_ups import LookUps
from bookline.batches.lookup import LookUp
from bookline.batches.service import Batches
from bookline.batches.there import AlreadyThere
from bookline.caller_limits import CallerLimits
from bookline.clocks import Steady
from bookline.embedders.local import WordLlama
from bookline.embedders.opening import open_embedder
from bookline.embedders.together import EmbedderTogether
from bookline.engine.dbos import DbosEngine
from bookline.engine.job_run import World
from bookline.engine.leases import Leases
from bookline.engine.locks import Locks
from bookline.engine.places import Places
from bookline.engine.queue import Queue
from bookline.engine.recovery import Recovery
from bookline.engine.tries import Policy
from bookline.engine.upkeep import Upkeep
from bookline.errors import StoreDown
from bookline.folders import check_databases, make_private, remember_databases
from bookline.imports import Imports
from bookline.job import Job
from bookline.measures import Measures
from bookline.migration.gates import Gates
from bookline.migration.rollouts import Rollouts
from bookline.net.aiohttp_http import AiohttpHttp, user_agent
from bookline.net.cover_fetcher import GuardedCoverFetcher
from bookline.net.pace import SharedPace
from bookline.net.pictures import read_picture
from bookline.net.rests import Rests, check_answering
from bookline.net.webhook_post import WebhookPost
from bookline.ports import (
    BookSearch,
    Embedder,
    Importer,
    KeyValue,
    Library,
    MetadataProvider,
    ObjectStore,
    OtherImporter,
    Steps,
)
from bookline.progress.batches import BATCH_PREFIX, Batch
from bookline.progress.hub import Hub
from bookline.progress.journal import Journal
from bookline.providers import google_books, isbndb
from bookline.providers.google_books import GoogleBooks
from bookline.providers.isbndb import IsbnDb
from bookline.providers.open_library import OpenLibrary
from bookline.providers.title_search import GoogleBooksSearch, IsbnDbSearch, OpenLibrarySearch
from bookline.readiness import (
    LOCAL_SECONDS,
    REMOTE_SECONDS,
    Check,
    Readiness,
    check_room,
)
from bookline.settings import EARLIER_DATA_DIR, Role, Settings
from bookline.shelf import Shelf
from bookline.steps.cover import UploadCover
from bookline.steps.embedding import GenerateEmbedding
from bookline.steps.joined import AllSteps
from bookline.steps.metadata import FetchMetadata
from bookline.steps.save import SaveBook
from bookline.stores.database import Session
from bookline.stores.key_value import open_key_value
from bookline.stores.library import SqlLibrary
from bookline.stores.obstore_objects import open_objects
from bookline.stores.opening import Stores, library_in, open_storage, stores_in
from bookline.stores.runs_together import RunsTogether
from bookline.stores.secrets import SqlSecrets
from bookline.tasks import Tasks
from bookline.traces import set_up_traces, span
from bookline.values import Json
from bookline.webhooks import Webhooks, read_secret

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
WEBHOOK_SECONDS = 5.0
WEBHOOKS_MOST = 10_000  # counted for the metrics; more are as bad
LegacyCall = Callable[[Json, str], Awaitable[Json]]
LEGACY_ROOM = "bookline.migration.legacy"  # by name: it can be deleted, and all else stays


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A running Bookline, as api/ and cli/ use it."""

    settings: Settings
    imports: Imports
    batches: Batches
    candidate_covers: CandidateCovers
    there: AlreadyThere
    shelf: Shelf
    journal: Journal
    hub: Hub
    limits: CallerLimits
    library: Library | None
    fallback: KeyValue
    objects: ObjectStore
    embedder: Embedder | None
    engine: DbosEngine
    upkeep: Upkeep
    readiness: Readiness
    measures: Measures
    rollouts: Rollouts
    secrets: SqlSecrets
    """What all nodes of a deployment share in secret."""
    webhooks_waiting: Callable[[], Awaitable[int]]
    """How many ends are still to be posted, counted up to ``WEBHOOKS_MOST``."""
    legacy_call: LegacyCall | None
    """What answers ``POST /v1/jobs``, while there is a legacy importer."""

    async def check(self) -> dict[str, Json]:
        """Each dependency with ``ok`` and, if it is down, what to know; asks none of them."""
        return await self.readiness.states()


def _as_it_is(steps: AllSteps) -> Steps:
    return steps


def legacy_room() -> Any:
    """The legacy importer's package; None where it has been deleted."""
    found = importlib.util.find_spec(LEGACY_ROOM)
    return None if found is None else importlib.import_module(LEGACY_ROOM)


@asynccontextmanager
async def running(
    settings: Settings,
    gates: Gates | None = None,
    wrap_steps: Callable[[AllSteps], Steps] = _as_it_is,
    *,
    role: Role = "all",
) -> AsyncIterator[App]:
    """Bookline with all that the settings name, until the block ends.

    ``wrap_steps`` may put something around the workflow's steps (the rehearsal's fault). With the
    role ``api`` imports are only taken here: nodes of another role do them.
    Raises: Refused for settings that cannot be met, StoreDown when a store cannot be opened.
    """
    does_imports = role != "api"
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(set_up_traces())
        folder = settings.database_dir
        _open_folders(settings)
        storage = open_storage(settings.postgres_url, folder)
        stack.callback(storage.close)
        stores = stores_in(storage, now_ms)
        journal, limits = stores.journal, stores.limits
        stack.callback(stores.journal.close)
        steady = Steady(now_ms, await journal.last_moment())
        library = None
        if settings.library:
            library = library_in(storage)
            stack.push_async_callback(library.close)
        fallback = open_key_value(settings.kv_url, settings.data_dir)
        stack.push_async_callback(fallback.close)
        objects = open_objects(settings.object_store_url, settings.data_dir)

        pace = SharedPace(
            limits,
            settings.provider_rates,
            {"google_books": google_books.quota_left, "isbndb": isbndb.quota_left},
        )
        http = AiohttpHttp(contact=settings.contact, pace=pace)
        stack.push_async_callback(http.aclose)
        fetcher = GuardedCoverFetcher(
            settings.cover_hosts, settings.allow_private_covers, user_agent(settings.contact)
        )
        stack.push_async_callback(fetcher.aclose)
        embedder = open_embedder(
            settings.embedder,
            settings.embedder_url,
            settings.embedder_model,
            settings.embedder_api_key.get_secret_value(),
            http,
        )
        steps = AllSteps(
            metadata=FetchMetadata(
                _providers(settings, http), pace=pace, complete=settings.complete
            ),
            cover=UploadCover(fetcher, read_picture, objects, now_ms),
            embedding=GenerateEmbedding(embedder),
            book=SaveBook(library, fallback, objects, now_ms),
        )

        batch_steps = replace(
            steps,
            metadata=FetchMetadata(
                _providers(settings, http, together=True), pace=pace, complete=settings.complete
            ),
            embedding=GenerateEmbedding(embedder and EmbedderTogether(embedder)),
        )

        measures = Measures()
        journal.fanout.measure_lag = measures.heard
        node = Leases(journal.database) if settings.postgres_url else Locks(folder / "nodes")
        node.open()
        stack.callback(node.close)
        places = Places(settings.at_work if does_imports else 0)
        world = World(
            runs=journal,
            steps=steps,
            policy=Policy(
                deadline_seconds=settings.job_deadline_seconds, retry_scale=settings.retry_scale
            ),
            node=node.node_id,
            clock=now_ms,
            places=places,
            measures=measures,
            span=span,
        )
        engine = DbosEngine(
            settings.postgres_url or folder / "engine.db",
            replace(world, steps=wrap_steps(steps)),
            node.living,
            batch_world=replace(
                world,
                steps=wrap_steps(batch_steps),
                runs=RunsTogether(journal, journal, now_ms),
            ),
            does_imports=does_imports,
        )
        await engine.launch()
        stack.push_async_callback(engine.close)
        _remember(settings)

        others: list[OtherImporter] = []
        engines: dict[str, Importer] = {"workflow": engine}
        old = legacy_room()
        if old is not None:
            tables = storage.tables("legacy", old.MIGRATIONS)
            legacy = old.JobStateManager(
                tables, world, node.living, journal.left_by, does_imports=does_imports
            )
            stack.push_async_callback(legacy.close)
            others.append(legacy)
            engines["legacy"] = legacy
        rollouts = Rollouts(
            stores.rollout, journal, clock=now_ms, steady=steady,
            start_percent=settings.workflow_rollout_percent, has_legacy=old is not None,
            deadline_ms=int(settings.job_deadline_seconds * 1000), gates=gates,
        )  # fmt: skip

        if old is None and (left := (await rollouts.open_jobs())["legacy"]):
            log.warning("%d legacy jobs are open, and there is no legacy importer any more", left)

        async def find_story(stream_id: str) -> Job | Batch | None:
            if stream_id.startswith(BATCH_PREFIX):
                return await stores.batches.find(stream_id)
            return await journal.find(stream_id)

        hub = Hub(find_story, journal)
        measures.watchers.set_function(lambda: hub.watchers)
        measures.running.set_function(
            lambda: len(engine.running) + sum(len(one.running) for one in others)
        )
        recovery = Recovery(node, engine, journal, now_ms, lambda: places.room)
        queue = Queue(journal, engines, places, recovery, node.node_id)
        upkeep = Upkeep(
            node, engine, journal, recovery, steady=steady,
            retention_days=settings.retention_days, fallback=fallback, library=library,
            objects=objects, others=others, remove_batches=stores.batches.remove_old,
        )  # fmt: skip
        tasks = Tasks()
        stack.push_async_callback(tasks.stop)
        tasks.start("node", node.run)
        tasks.start("hub", hub.run)
        if does_imports:
            tasks.start("upkeep", upkeep.run)
            tasks.start("queue", queue.run)
        callers = CallerLimits(limits)
        tasks.start("limits", callers.run)
        checks = _checks(settings, stores, engine, library, fallback, objects)
        checks["limits"] = Check(ask=callers.check)
        checks["providers"] = Check(ask=partial(_ask_providers, settings, pace.rests, measures))
        if settings.webhook_url:
            post = WebhookPost(settings.webhook_url, user_agent(settings.contact))
            stack.push_async_callback(post.aclose)
            posts = Webhooks(
                stores.webhooks, post, read_secret(settings.webhook_secret.get_secret_value()),
                only_one=node.only_one, clock=now_ms, scale=settings.retry_scale,
                count=measures.posted,
            )  # fmt: skip
            journal.posts_ends = now_ms
            stack.callback(journal.subscribe(posts.hear))
            tasks.start("webhooks", posts.run)
            checks["webhooks"] = Check(ask=posts.check, every_seconds=WEBHOOK_SECONDS)
        readiness = Readiness(checks)
        tasks.start("readiness", readiness.run)
        tasks.start("rollout", lambda: _look(rollouts))
        if isinstance(embedder, WordLlama):
            tasks.start("load", embedder.load)
        stack.callback(hub.close)
        imports = Imports(
            journal, engines, usable=settings.usable_sources, node=node.node_id, clock=now_ms,
            choose=rollouts.choose, queue=queue,
        )  # fmt: skip
        shelf = Shelf(
            library, Aside(fallback), objects, imports,
            embedder=embedder, read_picture=read_picture, clock=now_ms,
        )  # fmt: skip
        there = AlreadyThere(
            shelf.find_many, journal.find, usable=settings.usable_sources,
            completes=settings.complete, clock=now_ms,
        )  # fmt: skip
        batches = Batches(stores.batches, imports, clock=now_ms)
        feeder = Feeder(
            store=stores.batches, batches=batches, imports=imports,
            keep_readings=shelf.keep_readings, there=there.titles,
            node=node.node_id,
        )  # fmt: skip
        look_ups = LookUps(
            store=stores.batches, look_up=LookUp(_searches(settings, http), pace),
            only_one=node.only_one, clock=now_ms, retry_scale=settings.retry_scale,
            feed=feeder.stir,
        )  # fmt: skip

        def stir() -> None:
            feeder.stir()
            look_ups.stir()

        batches.stir = stir
        stack.callback(journal.subscribe(feeder.hear))
        if does_imports:
            tasks.start("batches", feeder.run)
            tasks.start("look-ups", look_ups.run)
        yield App(
            settings=settings, imports=imports, shelf=shelf, batches=batches, there=there,
            candidate_covers=CandidateCovers(fetcher, read_picture),
            journal=journal, hub=hub, limits=callers,
            library=library, fallback=fallback, objects=objects, embedder=embedder, engine=engine,
            upkeep=upkeep, readiness=readiness,
            measures=measures, rollouts=rollouts,
            secrets=stores.secrets,
            webhooks_waiting=partial(stores.webhooks.waiting, WEBHOOKS_MOST),
            legacy_call=old.MessagePasser(imports).handle if old is not None else None,
        )  # fmt: skip


def _checks(
    settings: Settings,
    stores: Stores,
    engine: DbosEngine,
    library: SqlLibrary | None,
    fallback: KeyValue,
    objects: ObjectStore,
) -> dict[str, Check]:
    """How each dependency is asked whether an import could write to it."""

    async def ask_journal() -> None:
        if not settings.postgres_url:
            await check_room(settings.database_dir)
        await stores.journal.database.write(_nothing)

    async def ask_library() -> None:
        if library is not None:
            await library.database.write(_nothing)

    async def ask_fallback() -> None:
        await fallback.find("none")

    is_local = urlsplit(settings.object_store_url).scheme in {"", "file", "memory"}
    return {
        "journal": Check(ask=ask_journal),
        "engine": Check(ask=engine.check),
        "library": Check(ask=ask_library),
        "fallback": Check(ask=ask_fallback),
        "objects": Check(
            ask=objects.check, every_seconds=LOCAL_SECONDS if is_local else REMOTE_SECONDS
        ),
    }


async def _ask_providers(settings: Settings, rests: Rests, measures: Measures) -> None:
    """What imports found of them; asks none of them. Raises: StoreDown where one is down."""
    known = await rests.read(set(settings.usable_sources))
    for provider, rest in known.items():
        measures.circuit(provider, rest.state)
    check_answering(known)


def _nothing(session: Session) -> None:
    """A transaction that takes the writer's lock and changes nothing."""
    session.execute("SELECT 1")


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


def _remember(settings: Settings) -> None:
    for folder in {settings.data_dir, settings.database_dir}:
        remember_databases(folder)


async def _look(rollouts: Rollouts) -> None:
    """The automatic rollout, until cancelled."""
    while True:
        await rollouts.look()
        await asyncio.sleep(LOOK_SECONDS)


def _providers(
    settings: Settings, http: AiohttpHttp, *, together: bool = False
) -> Sequence[MetadataProvider]:
    """Those that can be asked, in the order in which ``auto`` asks them. ``together``: for many
    books at the same time, where a provider takes such questions.
    """
    every: dict[str, MetadataProvider] = {
        "google_books": GoogleBooks(
            http.for_provider("google_books"),
            settings.google_books_url,
            settings.google_books_api_key.get_secret_value(),
            settings.google_books_country,
        ),
        "openlibrary": OpenLibrary(
            http.for_provider("openlibrary"),
            settings.openlibrary_url,
            settings.openlibrary_covers_url,
            together=together,
        ),
        "isbndb": IsbnDb(
            http.for_provider("isbndb"),
            settings.isbndb_url,
            settings.isbndb_api_key.get_secret_value(),
            together=together,
        ),
    }
    return [every[name] for name in settings.usable_sources]


def _searches(settings: Settings, http: AiohttpHttp) -> Sequence[BookSearch]:
    """Those that can be asked by title and author, in the order in which they are."""
    every: dict[str, BookSearch] = {
        "openlibrary": OpenLibrarySearch(
            http.for_provider("openlibrary"),
            settings.openlibrary_url,
            settings.openlibrary_covers_url,
        ),
        "google_books": GoogleBooksSearch(
            http.for_provider("google_books"),
            settings.google_books_url,
            settings.google_books_api_key.get_secret_value(),
            settings.google_books_country,
        ),
        "isbndb": IsbnDbSearch(
            http.for_provider("isbndb"),
            settings.isbndb_url,
            settings.isbndb_api_key.get_secret_value(),
        ),
    }
    return [search for name, search in every.items() if name in settings.usable_sources]
