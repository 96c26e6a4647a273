"""One batch, its list and its watchers in a Durable Object: the stores' own rows and SQL.

Way:      batches.py and the runs of its jobs ask by ``ask``; the alarm works its to-do list off
Rule 1:   every decision is batches/'s and the store's; a job's truth is in its own object, here is
          a copy of how it stood when it was told last.
Rule 2:   an alarm is one round: it begins what there is room for, and rings again; an end rings at
          once. So no batch holds up another, nor a single import.
Rule 3:   what waits is opened, started and then marked as the engine's: each is safe twice, so that
          a round that died is simply done again. A job of which nothing is heard for a minute is
          looked after: whatever was lost between two parts, the batch ends.
"""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from object_schema import OF_A_BATCH

from bookline.batches.feeder import MOST_WAITING, Feeder
from bookline.batches.look_ups import LookUps
from bookline.batches.service import Batches
from bookline.errors import BooklineError, Refused
from bookline.job import SOURCES, Job
from bookline.progress.journal import Idempotency
from bookline.progress.rules import IDEMPOTENCY_MS, JobRow
from bookline.stores.batch_rows import follow
from bookline.stores.batches import RECEIVING_MS, SqlBatches
from bookline.stores.database import Session
from bookline.stores.event_log import Told
from bookline.stores.job_rows import SAVE, know, known_id, read_job, saving
from bookline.values import Json
from on_cloudflare import taking_up
from on_cloudflare.cloud import NODE, Cloud
from on_cloudflare.plain import (
    batch_from_plain,
    batch_to_plain,
    item_from_plain,
    item_to_plain,
    job_from_plain,
    now_ms,
)
from on_cloudflare.story import RETENTION_MS, UNTIL, Story

log = logging.getLogger(__name__)

AT_ONCE = (
    20  # our choice: of a batch's jobs the engine has so many; what a source of metadata bears
)
CREATED_MOST = 100  # the platform's own: instances of one call
OPENED_AT_ONCE = 25  # our choice: jobs' objects asked side by side, and written in one batch of D1
_UNHEARD = """UPDATE jobs SET updated_ms = :now_ms WHERE node = :node AND updated_ms < :before_ms
              AND status IN ('queued', 'running') RETURNING job_id"""
SOON_MS, LOOK_MS, DAY_MS = 100, 2_000, 86_400_000  # our choice: until the next round


class BatchDO(Story):
    """Named by the batch's id; or by an Idempotency-Key, and then it knows what that stands for."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env, OF_A_BATCH)
        self._store = SqlBatches(self._journal, now_ms)
        self._opened: set[str] = set()
        """Jobs that wait and whose objects are known to have them."""

    # -------------------------------------------------------------- asked by the door
    async def _claim(self, idempotency: Json, batch_id: str) -> str:
        """The id of the batch that the key stands for: this one, where it stood for none."""
        self._database.prepare()
        await self._keep_for(IDEMPOTENCY_MS)
        key = Idempotency(**idempotency)

        def work(session: Session) -> str:
            known = known_id(session, key, now_ms())
            if known is None:
                know(session, key, batch_id, now_ms())
            return known or batch_id

        return await self._database.write(work, key.key)

    async def _receive(self, batch: Json) -> bool:
        """Whether its list is still to come. What came of an earlier list that was never whole is
        forgotten.
        """
        wanted = batch_from_plain(batch)
        if not self._database.is_empty:
            if await self._store.find(wanted.batch_id) is not None:
                return False
            await self.ctx.storage.deleteAll()
            self._database.is_empty = True
        self._database.prepare()
        await self._store.receive(wanted)
        await self._wake_at(now_ms() + RECEIVING_MS)
        return True

    async def _add(self, batch_id: str, items: list[Json]) -> None:
        await self._store.add(batch_id, [item_from_plain(item) for item in items])

    async def _let_begin(self, batch: Json) -> None:
        await self._store.let_begin(batch_from_plain(batch))
        await self._wake_at(now_ms())

    async def _find(self, batch_id: str) -> Json | None:
        if self._database.is_empty:
            return None
        found = await self._store.find(batch_id)
        if found is None:
            return None
        if not found.is_over:
            await self._wake_at(now_ms() + LOOK_MS)  # a local runtime loses its alarms
        return batch_to_plain(found)

    async def _items(
        self, batch_id: str, states: list[str] | None, limit: int, cursor: str | None
    ) -> Json:
        page, total = await self._store.items(batch_id, states=states, limit=limit, cursor=cursor)
        items = [item_to_plain(item) for item in page.items]
        return {"items": items, "cursor": page.next_cursor, "total": total}

    async def _item(self, batch_id: str, index: int) -> Json:
        self._known(batch_id)
        return item_to_plain(await self._store.item(batch_id, index))

    async def _repeated(self, batch_id: str) -> int:
        return await self._store.repeated(batch_id)

    async def _request_cancel(self, batch_id: str) -> None:
        """What its jobs have is cancelled by the alarm."""
        self._known(batch_id)
        await self._store.request_cancel(batch_id)
        await self._wake_at(now_ms())

    async def _cancel_waiting(self, batch_id: str) -> int:
        return await self._store.cancel_waiting(batch_id)

    async def _request_retry(self, batch_id: str) -> int:
        self._known(batch_id)
        count = await self._store.request_retry(batch_id)
        await self._wake_at(now_ms())
        return count

    async def _choose(self, batch_id: str, index: int, isbn: str | None) -> Json:
        self._known(batch_id)
        item = await self._store.choose(batch_id, index, isbn)
        await self._wake_at(now_ms())
        return item_to_plain(item)

    def _known(self, batch_id: str) -> None:
        """Raises: Refused (BATCH_NOT_FOUND) where there are no tables to look into."""
        if self._database.is_empty:
            raise Refused("BATCH_NOT_FOUND", f"There is no batch {batch_id}.")

    # -------------------------------------------------------------- asked by its jobs
    async def _follow(self, job: Json) -> None:
        """A job stands so now, and its items with it. Safe twice, and late."""
        now = job_from_plain(job)

        def work(session: Session, told: Told) -> None:
            rows = session.execute("SELECT * FROM jobs WHERE job_id = :id", {"id": now.job_id})
            if not rows or _is_older(now, read_job(rows[0])):
                return
            session.execute(SAVE, saving(JobRow(job=now)))
            told += follow(session, [now], now_ms())

        if self._database.is_empty:
            return
        await self._journal.write_and_tell(work, now.job_id)
        if now.is_over:
            await self._wake_at(now_ms() + SOON_MS)

    # -------------------------------------------------------------- by the clock
    async def _work(self) -> int | None:
        if self._database.is_empty:
            return None
        if not await self._store.running():
            return await self._clear_away()
        done = 0
        try:
            done = await self._round(await Cloud.of(self.env, self._soon))
        except BooklineError as error:
            log.warning("a batch waits: %s", error)
        except Exception:
            log.exception("a batch's round failed; the next one goes on")
        return now_ms() + (SOON_MS if done else LOOK_MS)

    async def _clear_away(self) -> int | None:
        """A batch that is over goes by the store's own rule, and then the whole object."""
        now = now_ms()
        while await self._store.remove_old(now - RETENTION_MS, now):
            pass
        left = await self._database.read(
            lambda session: session.execute("SELECT batch_id FROM batches LIMIT 1")
        )
        if left:
            return now_ms() + DAY_MS
        if self.ctx.storage.kv.get(UNTIL) is None:
            await self._keep_for(0)
        return None

    async def _round(self, cloud: Cloud) -> int:
        """How many items went on."""
        imports = cloud.imports
        feeder = Feeder(
            store=self._store, batches=Batches(self._store, imports, clock=now_ms), imports=imports,
            keep_readings=cloud.shelf.keep_readings, there=cloud.there.titles, node=NODE,
        )  # fmt: skip
        look_ups = LookUps(
            store=self._store, look_up=cloud.look_up, only_one=lambda chore: nullcontext(True),
            clock=now_ms, retry_scale=cloud.policy.retry_scale, feed=feeder.stir,
        )  # fmt: skip
        done = await feeder.feed() + await look_ups.round() + await self._hand_over(cloud)
        await self._look_after(cloud)
        return done

    async def _hand_over(self, cloud: Cloud) -> int:
        """Opens the jobs that wait, and gives the engine as many of them as there is room for."""
        waiting = await self._journal.peek(dict.fromkeys(SOURCES, MOST_WAITING), MOST_WAITING)
        await self._open_all(cloud, [job for job in waiting if job.job_id not in self._opened])
        self._opened = {job.job_id for job in waiting}
        room = AT_ONCE - await self._store.at_work(NODE)
        jobs = waiting[: max(0, min(room, CREATED_MOST))]
        if jobs:
            await cloud.engine.start_all([job.order for job in jobs])
            await self._journal.hand_over(NODE, [job.job_id for job in jobs])
        return len(jobs)

    async def _look_after(self, cloud: Cloud) -> None:
        """Jobs that were given to the engine and of which nothing was heard since."""
        now = now_ms()
        values = {"node": NODE, "now_ms": now, "before_ms": now - taking_up.LATE_MS}
        for row in await self._database.write(lambda session: session.execute(_UNHEARD, values)):
            await taking_up.take_up(cloud, row["job_id"])

    async def _open_all(self, cloud: Cloud, jobs: Sequence[Job]) -> None:
        for place in range(0, len(jobs), OPENED_AT_ONCE):
            await cloud.jobs.open_all(jobs[place : place + OPENED_AT_ONCE])

    async def _is_over(self, story_id: str) -> bool:
        found = None if self._database.is_empty else await self._store.find(story_id)
        return found is None or found.is_over


def _is_older(job: Job, kept: Job) -> bool:
    """Whether this was overtaken on its way by what is kept."""
    return (job.run, job.is_over) < (kept.run, kept.is_over)
