"""The one place that chooses and joins: settings in, a running Bookline out.

Way:      cli/ and the server's entry → here → everything
Rule 1:   nobody imports this but them.
Rule 2:   one task group holds what runs for long; leaving ``running`` stops all of it in order.
Not here: what the settings open: resources.py; who runs imports: methods.py.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from bookline.aside import Aside
from bookline.batches.covers import CandidateCovers
from bookline.batches.feeder import Feeder
from bookline.batches.look_ups import LookUps
from bookline.batches.lookup import LookUp
from bookline.batches.service import Batches
from bookline.batches.there import AlreadyThere
from bookline.caller_limits import CallerLimits
from bookline.checks import checks_of
from bookline.embedders.local import WordLlama
from bookline.engine.dbos import DbosEngine
from bookline.engine.queue import Queue
from bookline.engine.recovery import Recovery
from bookline.engine.upkeep import Upkeep
from bookline.imports import Imports
from bookline.job import Job
from bookline.measures import Measures
from bookline.methods import Methods, legacy_room, open_methods
from bookline.migration.gates import Gates
from bookline.migration.rollouts import Rollouts
from bookline.net.aiohttp_http import user_agent
from bookline.net.pictures import read_picture
from bookline.net.webhook_post import WebhookPost
from bookline.ports import Embedder, KeyValue, Library, ObjectStore, Steps
from bookline.progress.batches import BATCH_PREFIX, Batch
from bookline.progress.hub import Hub
from bookline.progress.journal import Journal
from bookline.readiness import Readiness
from bookline.resources import (
    Kept,
    Outside,
    batch_steps_of,
    open_kept,
    open_outside,
    remember_kept,
    steps_of,
)
from bookline.settings import Role, Settings
from bookline.shelf import Shelf
from bookline.sources import searches_of
from bookline.steps.joined import AllSteps
from bookline.stores.opening import Stores
from bookline.stores.secrets import SqlSecrets
from bookline.tasks import Tasks
from bookline.traces import set_up_traces
from bookline.values import Json
from bookline.webhooks import Webhooks, read_secret

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
WEBHOOKS_MOST = 10_000  # counted for the metrics; more are as bad
LegacyCall = Callable[[Json, str], Awaitable[Json]]


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
    async with AsyncExitStack() as stack:
        stack.callback(set_up_traces())
        kept = await open_kept(settings, stack)
        stores, journal, clock = kept.stores, kept.stores.journal, kept.clock
        outside = open_outside(settings, kept, stack)
        steps = steps_of(settings, kept, outside)
        measures = Measures()
        journal.fanout.measure_lag = measures.heard
        methods = await open_methods(
            settings, kept, steps, batch_steps_of(settings, outside, steps), wrap_steps, measures,
            stack, does_imports=does_imports,
        )  # fmt: skip
        remember_kept(settings)
        rollouts = Rollouts(
            stores.rollout, journal, clock=clock, steady=kept.steady,
            start_percent=settings.workflow_rollout_percent,
            has_legacy=methods.legacy is not None,
            deadline_ms=int(settings.job_deadline_seconds * 1000), gates=gates,
        )  # fmt: skip
        await _tell_of_left(methods, rollouts)

        hub = Hub(partial(_find_story, stores), journal)
        measures.watchers.set_function(lambda: hub.watchers)
        measures.running.set_function(lambda: methods.running)
        recovery = Recovery(
            methods.node, methods.engine, journal, clock, lambda: methods.places.room
        )
        queue = Queue(journal, methods.by_name, methods.places, recovery, methods.node.node_id)
        vectors = kept.storage.vector_index(kept.library) if kept.library else None
        upkeep = Upkeep(
            methods.node, methods.engine, journal, recovery, steady=kept.steady,
            retention_days=settings.retention_days, fallback=kept.fallback, library=kept.library,
            objects=kept.objects, others=methods.others, remove_batches=stores.batches.remove_old,
            index_vectors=vectors.make_index if vectors else None,
        )  # fmt: skip
        tasks = Tasks()
        stack.push_async_callback(tasks.stop)
        tasks.start("node", methods.node.run)
        tasks.start("hub", hub.run)
        if does_imports:
            tasks.start("upkeep", upkeep.run)
            tasks.start("queue", queue.run)
        callers = CallerLimits(stores.limits)
        tasks.start("limits", callers.run)
        webhooks = _open_webhooks(settings, kept, methods, measures, stack)
        if webhooks is not None:
            tasks.start("webhooks", webhooks.run)
        readiness = Readiness(
            checks_of(settings, kept, methods, callers, outside.pace.rests, measures, webhooks)
        )
        tasks.start("readiness", readiness.run)
        tasks.start("rollout", partial(_look, rollouts))
        if isinstance(outside.embedder, WordLlama):
            tasks.start("load", outside.embedder.load)
        stack.callback(hub.close)

        imports = Imports(
            journal, methods.by_name, usable=settings.usable_sources, node=methods.node.node_id,
            clock=clock, choose=rollouts.choose, queue=queue,
        )  # fmt: skip
        shelf = Shelf(
            kept.library, Aside(kept.fallback), kept.objects, imports,
            embedder=outside.embedder, read_picture=read_picture, clock=clock,
        )  # fmt: skip
        there = AlreadyThere(
            shelf.find_many, journal.find, usable=settings.usable_sources,
            completes=settings.complete, clock=clock,
        )  # fmt: skip
        batches = Batches(stores.batches, imports, clock=clock)
        feeder = Feeder(
            store=stores.batches, batches=batches, imports=imports,
            keep_readings=shelf.keep_readings, there=there.titles,
            node=methods.node.node_id,
        )  # fmt: skip
        look_ups = LookUps(
            store=stores.batches, look_up=_look_up(settings, outside),
            only_one=methods.node.only_one, clock=clock, retry_scale=settings.retry_scale,
            feed=feeder.stir,
        )  # fmt: skip
        batches.stir = partial(_stir, feeder, look_ups)
        stack.callback(journal.subscribe(feeder.hear))
        if does_imports:
            tasks.start("batches", feeder.run)
            tasks.start("look-ups", look_ups.run)
        room = legacy_room()
        yield App(
            settings=settings, imports=imports, shelf=shelf, batches=batches, there=there,
            candidate_covers=CandidateCovers(outside.covers, read_picture),
            journal=journal, hub=hub, limits=callers, library=kept.library,
            fallback=kept.fallback, objects=kept.objects, embedder=outside.embedder,
            engine=methods.engine, upkeep=upkeep, readiness=readiness, measures=measures,
            rollouts=rollouts, secrets=stores.secrets,
            webhooks_waiting=partial(stores.webhooks.waiting, WEBHOOKS_MOST),
            legacy_call=room.MessagePasser(imports).handle if room is not None else None,
        )  # fmt: skip


async def _find_story(stores: Stores, stream_id: str) -> Job | Batch | None:
    if stream_id.startswith(BATCH_PREFIX):
        return await stores.batches.find(stream_id)
    return await stores.journal.find(stream_id)


def _look_up(settings: Settings, outside: Outside) -> LookUp:
    return LookUp(searches_of(settings, outside.http), outside.pace)


def _stir(feeder: Feeder, look_ups: LookUps) -> None:
    feeder.stir()
    look_ups.stir()


async def _tell_of_left(methods: Methods, rollouts: Rollouts) -> None:
    if methods.legacy is None and (left := (await rollouts.open_jobs())["legacy"]):
        log.warning("%d legacy jobs are open, and there is no legacy importer any more", left)


def _open_webhooks(
    settings: Settings, kept: Kept, methods: Methods, measures: Measures, stack: AsyncExitStack
) -> Webhooks | None:
    """From now on every end is kept to be posted; None where the settings name no address."""
    if not settings.webhook_url:
        return None
    post = WebhookPost(settings.webhook_url, user_agent(settings.contact))
    stack.push_async_callback(post.aclose)
    webhooks = Webhooks(
        kept.stores.webhooks, post, read_secret(settings.webhook_secret.get_secret_value()),
        only_one=methods.node.only_one, clock=kept.clock, steady=kept.steady,
        scale=settings.retry_scale, count=measures.posted,
    )  # fmt: skip
    kept.stores.journal.posts_ends = kept.clock
    stack.callback(kept.stores.journal.subscribe(webhooks.hear))
    return webhooks


async def _look(rollouts: Rollouts) -> None:
    """The automatic rollout, until cancelled."""
    while True:
        await rollouts.look()
        await asyncio.sleep(LOOK_SECONDS)
