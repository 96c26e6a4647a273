"""A job's journal, asked from elsewhere: the port Jobs for the door, and what a run writes.

Way:      imports.py and run.py → here → room.py, one object a job
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from bookline.engine.tries import Ending
from bookline.errors import Refused, StoreDown
from bookline.job import Job
from bookline.progress.events import News
from bookline.progress.journal import Idempotency
from bookline.progress.records import ImportRecord
from bookline.values import Json, Page
from on_cloudflare.plain import (
    dump,
    ended_from_plain,
    job_from_plain,
    job_to_plain,
    load,
    news_to_plain,
)


class Index(Protocol):
    """Where all jobs stand, to list them by. Never fails: it can be made anew from the journals."""

    async def keep(self, job: Job, record: ImportRecord | None = None) -> None: ...

    async def keep_all(self, jobs: Sequence[Job]) -> None: ...

    async def list(self, *, status: str | None, **wanted: Any) -> Page[Job]: ...

    async def open_of(self, isbn: str) -> Sequence[str]: ...


class Rooms:
    """The objects by name; ``namespace`` is the binding WEBSOCKET_DO."""

    def __init__(self, namespace: Any) -> None:
        self._namespace = namespace

    def stub(self, name: str) -> Any:
        return self._namespace.getByName(name)

    async def ask(self, name: str, do: str, **asked: object) -> Any:
        """Raises: Refused as the journal does, StoreDown when the object cannot be reached."""
        try:
            text = await self.stub(name).ask(dump({"do": do, **asked}))
        except Exception as error:
            raise StoreDown(f"the journal of {name}: {str(error).splitlines()[-1]}") from error
        answer = load(text)
        if "refused" in answer:
            raise Refused(*answer["refused"])
        return answer["value"]


class DurableJobs:
    """Fills the port Jobs."""

    def __init__(self, rooms: Rooms, index: Index) -> None:
        self._rooms = rooms
        self._index = index

    async def open(self, job: Job, idempotency: Idempotency | None = None) -> Job:
        """A key's object says first which job it stands for; a job that it knew and that was never
        opened is opened now.
        """
        if idempotency is not None:
            told = asdict(idempotency)
            kept = await self._ask(
                f"key-{idempotency.key}", "open", job=job_to_plain(job), idempotency=told
            )
            if kept.job_id != job.job_id:
                there = await self.find(kept.job_id)
                if there is not None:
                    return there
                job = kept
        opened = await self._ask(job.job_id, "open", job=job_to_plain(job))
        await self._index.keep(opened)
        return opened

    async def open_all(self, jobs: Sequence[Job]) -> None:
        """Jobs of a batch, each in its own object. Safe twice."""
        asked = (self._ask(job.job_id, "open", job=job_to_plain(job)) for job in jobs)
        await self._index.keep_all(await asyncio.gather(*asked))

    async def find(self, job_id: str) -> Job | None:
        found = await self._rooms.ask(job_id, "find", job_id=job_id)
        return found and job_from_plain(found)

    async def list(self, *, status: str | None, **wanted: Any) -> Page[Job]:
        return await self._index.list(status=status, **wanted)

    async def open_of(self, isbn: str) -> Sequence[str]:
        return await self._index.open_of(isbn)

    async def request_cancel(self, job_id: str) -> Job:
        await self._known(job_id)
        job, record = ended_from_plain(await self._rooms.ask(job_id, "cancel", job_id=job_id))
        if job.is_over:
            await self._index.keep(job, record)
        return job

    async def reopen(self, job_id: str, node: str) -> Job:
        await self._known(job_id)
        job = await self._ask(job_id, "reopen", job_id=job_id, node=node)
        await self._index.keep(job)
        return job

    async def ended(self, job_id: str) -> tuple[Job, ImportRecord | None]:
        """A job that is over, with the record of its end."""
        return ended_from_plain(await self._rooms.ask(job_id, "ended", job_id=job_id))

    async def _known(self, job_id: str) -> None:
        if await self.find(job_id) is None:
            raise Refused("JOB_NOT_FOUND", f"there is no job {job_id}")

    async def _ask(self, name: str, do: str, **asked: object) -> Job:
        return job_from_plain(await self._rooms.ask(name, do, **asked))


class RunJournal:
    """One job's journal as its run writes it. News ride with the next mark or the end.

    A job of a batch that begins is ``told``.
    """

    def __init__(
        self, rooms: Rooms, job_id: str, node: str, told: Callable[[Job], Awaitable[None]]
    ) -> None:
        self._rooms = rooms
        self._told = told
        self._job_id = job_id
        self._node = node
        self._news: list[News] = []
        self._open: dict[str, int] = {}
        """Steps in a try or a wait → which try."""
        self.lines: list[str] = []
        """Steps that are done side by side, in the order in which status shows them."""
        self.run: int | None = None
        """Known from the first mark on."""

    def tell(self, news: News) -> None:
        """Kept with the next call."""
        self._news.append(news)

    async def begin(self, step: str, attempt: int, limit_ms: int, spent_ms: int) -> Json:
        """``{"run", "spentMs", "cancelled", "died"}``; the first call claims the job."""
        place = {"node": self._node, "run": self.run, "step": step, "attempt": attempt}
        self._open[step] = attempt
        begun = await self._ask(
            "begin", **place, limit_ms=limit_ms, spent_ms=spent_ms, beside=sorted(self._open),
            at=self._at,
        )  # fmt: skip
        self.run = begun["run"]
        if begun["claimed"] is not None:
            await self._told(job_from_plain(begun["claimed"]))
        return dict(begun)

    def ended(self, step: str) -> None:
        """The step's mark is closed with the next call."""
        self._open.pop(step, None)

    @property
    def _at(self) -> tuple[str, int] | None:
        """What status shows while steps are done side by side: the first that has not ended."""
        begun = [name for name in self.lines if name in self._open]
        return (begun[0], self._open[begun[0]]) if begun else None

    async def failed(self, step: str, attempt: int, spent_ms: int) -> bool:
        """Tells what waits, and that this try is over. Whether the job was cancelled."""
        place = {"run": self.run, "step": step, "attempt": attempt}
        beside = sorted(self._open)
        return bool(
            await self._ask("failed", **place, spent_ms=spent_ms, beside=beside, at=self._at)
        )

    async def finish(self, ending: Ending) -> tuple[Job, ImportRecord | None] | None:
        """The job as it ended, and its record; None where this run is not the last any more."""
        told = await self._ask(
            "finish", run=self.run, end=news_to_plain(ending.news), result=ending.result,
            error=ending.error,
        )  # fmt: skip
        return told and ended_from_plain(told)

    async def _ask(self, do: str, **asked: object) -> Any:
        """News that did not arrive wait for the next call."""
        news: Sequence[News] = tuple(self._news)
        told = [news_to_plain(one) for one in news]
        answer = await self._rooms.ask(self._job_id, do, job_id=self._job_id, news=told, **asked)
        del self._news[: len(news)]
        return answer
