"""One job's journal and its watchers: the Durable Object that the plan calls WebSocketConnectionDO.

Way:      journal.py asks by ``ask``; watchers come by ``fetch``
Rule 1:   every decision is the journal's (progress/rules.py): here are its tables and its hearers.
"""

import asyncio
import uuid
from typing import Any

from object_schema import OF_A_JOB

from bookline.engine.tries import ended_by
from bookline.errors import Cancelled, Refused
from bookline.job import QUEUED
from bookline.progress import rules
from bookline.progress.journal import Idempotency
from bookline.stores.job_rows import read_row
from bookline.values import Json
from on_cloudflare.plain import (
    ended_to_plain,
    job_from_plain,
    job_to_plain,
    news_from_plain,
)
from on_cloudflare.story import RETENTION_MS, STORY_MOST, Story


class WebSocketConnectionDO(Story):
    """Named by the job's id."""

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env, OF_A_JOB)

    # -------------------------------------------------------------- asked by our own code
    async def _open(self, job: Json, idempotency: Json | None = None) -> Json:
        """The job, safe twice; in an Idempotency-Key's object that which the key stands for."""
        self._database.prepare()
        key = Idempotency(**idempotency) if idempotency else None
        wanted = job_from_plain(job)
        if key:
            await self._keep_for(rules.IDEMPOTENCY_MS)
        elif known := await self._journal.find(wanted.job_id):
            return job_to_plain(known)
        return job_to_plain(await self._journal.open(wanted, key))

    async def _find(self, job_id: str) -> Json | None:
        if self._database.is_empty:
            return None
        job = await self._journal.find(job_id)
        return None if job is None else job_to_plain(job)

    async def _begin(
        self, job_id: str, node: str, step: str, attempt: int, run: int | None, limit_ms: int,
        spent_ms: int, beside: list[str], at: list[Any] | None, news: list[Json],
    ) -> Json:  # fmt: skip
        """Marks a try as begun, with the news that came before it.

        The first try of an activation claims the job; one whose forerunner never ended finds the
        job unfinished, as after a restart: ``died`` says so.
        """
        row = await self._row(job_id)
        if row is None or row.job.is_over or (run is not None and run != row.job.run):
            return {
                "cancelled": True,
                "died": False,
                "run": run or 0,
                "spentMs": 0,
                "claimed": None,
            }
        mark = row.marks.get(step)
        died = mark is not None and mark.attempt < attempt
        is_claimed = run is None and (died or row.job.status == QUEUED)
        if is_claimed:
            await self._journal.claim(job_id, node)
        begun = await self._journal.begin(
            job_id, row.job.run, step, attempt, token=uuid.uuid4().hex, limit_ms=limit_ms,
            spent_ms=spent_ms, beside=beside, at=_place(at),
            news=[news_from_plain(one) for one in news],
        )  # fmt: skip
        row = await self._row(job_id)
        is_told = is_claimed and row.job.batch_id is not None
        return {
            "cancelled": begun.cancelled, "died": died, "run": row.job.run,
            "spentMs": row.spent_ms, "claimed": job_to_plain(row.job) if is_told else None,
        }  # fmt: skip

    async def _failed(
        self, job_id: str, run: int, step: str, attempt: int, spent_ms: int, beside: list[str],
        at: list[Any] | None, news: list[Json],
    ) -> bool:  # fmt: skip
        """A try that is repeated: told, and its mark closed as those of steps that have ended.

        Whether somebody has cancelled the job, which then waits no longer.
        """
        told = [news_from_plain(one) for one in news]
        await asyncio.wrap_future(
            self._journal.tell(job_id, *told, run=run, spent_ms=spent_ms, at=_place(at))
        )
        row = await self._row(job_id)
        for name, mark in (row.marks if row else {}).items():
            if name == step or name not in beside:
                await self._journal.release(job_id, run, name, mark.attempt)
        return row is None or row.job.is_over or row.job.cancel_requested

    async def _finish(
        self, job_id: str, run: int | None, end: Json, result: Json | None, error: Json | None,
        news: list[Json],
    ) -> Json | None:  # fmt: skip
        """The job as it ended, now or before: whoever asks may have died before he told of it.

        None where this run is not the last one any more.
        """
        row = await self._row(job_id)
        if row is None or (run is not None and run != row.job.run):
            return None
        if not row.job.is_over:
            await self._journal.finish(
                job_id, news_from_plain(end), run=row.job.run, result=result, error=error,
                before=[news_from_plain(one) for one in news],
            )  # fmt: skip
            await self._keep_for(RETENTION_MS)
        return await self._ended(job_id)

    async def _ended(self, job_id: str) -> Json:
        job = await self._journal.find(job_id)
        if job is None:
            raise Refused("JOB_NOT_FOUND", f"there is no job {job_id}")
        return ended_to_plain(job, await self._journal.records(0))

    async def _cancel(self, job_id: str) -> Json:
        """Marks the job; one of which no try is under way ends at once."""
        job = await self._journal.request_cancel(job_id)
        row = await self._row(job_id)
        if not row.marks:
            stop = Cancelled(job.step, job.attempt or 0, "CANCELLED", "the job was cancelled")
            end = ended_by(job.run, stop)
            await self._journal.finish(job_id, end.news, run=job.run, result=None, error=end.error)
            await self._keep_for(RETENTION_MS)
        return await self._ended(job_id)

    async def _reopen(self, job_id: str, node: str) -> Json:
        self._keep()
        return job_to_plain(await self._journal.reopen(job_id, node))

    async def _story(self, job_id: str, after: int) -> list[str]:
        return [event.message for event in await self._journal.read(job_id, after, STORY_MOST)]

    async def _row(self, job_id: str) -> Any:
        if self._database.is_empty:
            return None
        rows = await self._database.read(
            lambda session: session.execute(
                "SELECT * FROM jobs WHERE job_id = :job_id", {"job_id": job_id}
            )
        )
        return read_row(rows[0]) if rows else None

    async def _is_over(self, story_id: str) -> bool:
        row = await self._row(story_id)
        return row is None or row.job.is_over


def _place(at: list[Any] | None) -> tuple[str, int] | None:
    return (at[0], at[1]) if at else None
