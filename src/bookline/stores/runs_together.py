"""The runs of a batch's jobs: what many of them have to say at one time is one write.

Way:     engine/straight.py → here → runs_write.py, for what is plain; else → journal.py
Rule 1:  progress/rules.py decides, on the row as this process has it since its claim. Where the
         write does not hold (runs_write.py) the journal is asked, which sees what has become of
         the job.
Rule 2:  one write is under way at a time; what comes meanwhile is the next. So nobody waits for
         others, and the more there is to write, the more is written together.
Rule 3:  what is here is thrown away at any time without loss: the journal's tables have it.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextvars import Context
from dataclasses import dataclass, field
from itertools import count

from bookline.errors import StoreDown
from bookline.job import TERMINAL
from bookline.progress import rules
from bookline.progress.events import Event, News
from bookline.progress.journal import ANY_EPOCH, Attempt, Claim, Place, Runs
from bookline.progress.records import ImportRecord
from bookline.progress.rules import JobRow, Mark
from bookline.stores.database import Session
from bookline.stores.event_log import SqlEventLog, Told
from bookline.stores.runs_write import Change, Write, Written, write_all
from bookline.threads import result_of
from bookline.values import Json

_numbers = count(1)  # tokens of tries whose caller names none


@dataclass(slots=True)
class _Kept:
    """A job that this process claimed: its row with all that was said of it since."""

    row: JobRow
    story: dict[str, int] = field(default_factory=dict)
    """Key → epoch ms of what was told, in its order."""
    unsaved: list[tuple[Event, str, int]] = field(default_factory=list)
    """Events on their way into the journal, with key and epoch ms."""
    record: ImportRecord | None = None

    def tell(self, news: Sequence[News], clock: Callable[[], int]) -> None:
        """What was told before is left out."""
        for one in news:
            if one.key in self.story:
                continue
            at_ms = clock()
            self.row, event = rules.told(self.row, one, at_ms)
            self.story[one.key] = at_ms
            self.unsaved.append((event, one.key, at_ms))


class RunsTogether:
    """Fills the port Runs. ``clock`` gives epoch milliseconds. For one event loop.

    ``journal`` is asked for all that is not plain: a job that was begun before, a cancel, an end
    that somebody else wrote.
    """

    def __init__(self, journal: Runs, log: SqlEventLog, clock: Callable[[], int]) -> None:
        self._journal = journal
        self._log = log
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._changed: set[str] = set()
        self._claims: dict[str, str] = {}
        self._waiting: list[asyncio.Future[Written]] = []
        """Who waits for the next write."""
        self._writing: asyncio.Task[None] | None = None

    # -------------------------------------------------------------- the port
    async def claim(self, job_id: str, node: str) -> Claim | None:
        self._claims[job_id] = node
        found = (await self._written()).claimed.get(job_id)
        if found is None:
            return await self._journal.claim(job_id, node)
        row, claim = found
        self._kept[job_id] = _Kept(row)
        return claim

    async def begin(
        self,
        job_id: str,
        run: int,
        step: str,
        attempt: int,
        *,
        epoch: int = ANY_EPOCH,
        token: str | None = None,
        limit_ms: int = 0,
        spent_ms: int = 0,
        beside: Collection[str] = (),
        at: Place | None = None,
        news: Sequence[News] = (),
        done: str | None = None,
    ) -> Attempt:
        token = token or f"together:{next(_numbers)}"
        kept = self._kept.get(job_id)
        if kept is not None:
            mark = Mark(attempt=attempt, token=token, begun_ms=self._clock(), limit_ms=limit_ms)
            begun, answer = rules.begin(kept.row, _held(kept), step, mark, spent_ms, beside, at)
            kept.row = rules.keep_done(begun, done)
            kept.tell(news, self._clock)
            if await self._is_kept(job_id):
                return answer
        return await self._journal.begin(
            job_id, run, step, attempt, epoch=epoch, token=token, limit_ms=limit_ms,
            spent_ms=spent_ms, beside=beside, at=at, news=news, done=done,
        )  # fmt: skip

    async def release(
        self, job_id: str, run: int, step: str, attempt: int, *, epoch: int = ANY_EPOCH
    ) -> None:
        kept = self._kept.get(job_id)
        if kept is not None:
            kept.row = rules.release(kept.row, _held(kept), step, attempt)
            if await self._is_kept(job_id):
                return
        await self._journal.release(job_id, run, step, attempt, epoch=epoch)

    async def leave(
        self,
        job_id: str,
        *,
        run: int,
        epoch: int,
        done: str,
        spent_ms: int,
        news: Sequence[News],
        continues: bool,
    ) -> None:
        """The job is not ours any more, whatever comes of it."""
        if job_id in self._kept:
            await self._is_kept(job_id)  # nothing of it is on its way any more
            self._kept.pop(job_id, None)
        await self._journal.leave(
            job_id, run=run, epoch=epoch, done=done, spent_ms=spent_ms, news=news,
            continues=continues,
        )  # fmt: skip

    def tell(
        self,
        job_id: str,
        *news: News,
        run: int | None = None,
        epoch: int = ANY_EPOCH,
        spent_ms: int = 0,
        waits: Mapping[str, int] | None = None,
        at: Place | None = None,
    ) -> "Future[None]":
        kept = self._kept.get(job_id)
        if kept is None or waits:  # a wait for a retry is nothing plain
            return self._journal.tell(
                job_id, *news, run=run, epoch=epoch, spent_ms=spent_ms, waits=waits or {}, at=at
            )
        kept.row = rules.spend(kept.row, spent_ms)
        if at is not None:
            kept.row = rules.shows(kept.row, at)
        kept.tell(news, self._clock)
        self._changed.add(job_id)
        told: Future[None] = Future()
        self._written().add_done_callback(lambda done: _pass_on(done, job_id, told))
        return told

    async def finish(
        self,
        job_id: str,
        news: News,
        *,
        run: int,
        epoch: int = ANY_EPOCH,
        result: Json | None,
        error: Json | None,
        before: Sequence[News] = (),
    ) -> str | None:
        kept = self._kept.get(job_id)
        if kept is not None:
            self._end(kept, news, result, error, before)
            if await self._is_kept(job_id):
                self._kept.pop(job_id, None)
                return kept.row.job.status
        return await self._journal.finish(
            job_id, news, run=run, epoch=epoch, result=result, error=error, before=before
        )

    def _end(
        self, kept: _Kept, news: News, result: Json | None, error: Json | None,
        before: Sequence[News],
    ) -> None:  # fmt: skip
        """Safe twice: asked again where the store did not take it."""
        if news.status not in TERMINAL:
            raise ValueError(f"{news.status} is no end")
        kept.tell(before, self._clock)
        ended = rules.finish(kept.row, _held(kept), news, result, error)
        if ended is None:
            return
        kept.row, end = ended
        told_before = list(kept.story.items())
        kept.tell([end], self._clock)
        kept.record = rules.record(kept.row, told_before, self._clock())

    # -------------------------------------------------------------- one write for all
    async def _is_kept(self, job_id: str) -> bool:
        """Whether what was said of the job is kept now. Raises: StoreDown; it may be said again."""
        self._changed.add(job_id)
        return job_id in (await self._written()).ours

    def _written(self) -> "asyncio.Future[Written]":
        """The next write, which all that is said until it begins is part of."""
        answer: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all(), context=Context())
        return answer

    async def _write_all(self) -> None:
        while self._waiting:
            await asyncio.sleep(0)  # those who come in the same pass of the loop
            waiting, self._waiting = self._waiting, []
            write = self._take()
            try:
                written = await self._write(write)
            except Exception as error:  # noqa: BLE001 - StoreDown: it belongs to who waits
                for answer in waiting:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            self._take_back(write, written)
            for answer in waiting:
                if not answer.done():
                    answer.set_result(written)
        self._writing = None

    def _take(self) -> Write:
        kept = [self._kept[job_id] for job_id in sorted(self._changed) if job_id in self._kept]
        changes = [Change(one.row, tuple(one.unsaved), one.record) for one in kept]
        write = Write(changes, self._claims)
        self._changed, self._claims = set(), {}
        return write

    def _take_back(self, write: Write, written: Written) -> None:
        for change in write.changes:
            if change.job_id not in written.ours:
                self._kept.pop(change.job_id, None)
            elif (kept := self._kept.get(change.job_id)) is not None:
                del kept.unsaved[: len(change.events)]

    async def _write(self, write: Write) -> Written:
        def work(session: Session, told: Told) -> Written:
            return write_all(session, told, write, self._clock())

        return await result_of(self._log.write_soon_and_tell(work, write.job_ids))


def _held(kept: _Kept) -> Claim:
    row = kept.row
    return Claim(job_id=row.job.job_id, run=row.job.run, started_ms=0, restarts=0, epoch=row.epoch)


def _pass_on(done: "asyncio.Future[Written]", job_id: str, told: "Future[None]") -> None:
    error = done.exception()
    if error is not None:
        told.set_exception(error)
    elif job_id not in done.result().ours:
        told.set_exception(StoreDown(f"what {job_id} tells is told again, by the journal"))
    else:
        told.set_result(None)
