"""The journal's ports: jobs and events as callers, executions and watchers need them.

Way:      imports.py, engine/, api/ and live/ speak to these; stores/ fills them.
Rule 1:   whatever is kept twice is the same as kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

from bookline.job import Job
from bookline.progress.events import Event, News
from bookline.progress.records import Figures, ImportRecord
from bookline.values import Json, Page


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """A caller's ``Idempotency-Key`` with what it stood for, both hashed."""

    key: str
    body: str


class Jobs(Protocol):
    """The jobs as callers see them."""

    async def open(self, job: Job, idempotency: Idempotency | None = None) -> Job:
        """The job, kept as queued; or the one that the same key and body opened within 24 h.

        Raises: Refused (INVALID_STATE) when the key stood for another body; StoreDown.
        """
        ...

    async def find(self, job_id: str) -> Job | None: ...

    async def list(
        self,
        *,
        status: str | None,
        method: str | None,
        isbn: str | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        since_ms: int | None = None,
        limit: int,
        cursor: str | None,
    ) -> Page[Job]:
        """Newest first, those that fit all that is given; ``since_ms`` is of their creation.

        Raises: Refused for a cursor that is not ours.
        """
        ...

    async def open_of(self, isbn: str) -> Sequence[str]:
        """The ids of the jobs of an ISBN-13 that are not over."""
        ...

    async def request_cancel(self, job_id: str) -> Job:
        """The job, marked; one that is queued is cancelled at once, and that is told.

        Raises: Refused (JOB_NOT_FOUND, INVALID_STATE).
        """
        ...

    async def reopen(self, job_id: str, node: str) -> Job:
        """A failed job, queued again by this node; told as ``workflow_resumed``.

        Raises: Refused (JOB_NOT_FOUND, INVALID_STATE).
        """
        ...


class Waiting(Protocol):
    """The jobs that wait for a process: queued, and nobody's yet."""

    async def take(self, node: str, sources: Mapping[str, int], most: int) -> Sequence[Job]:
        """The next ones, at most so many of each source and of all; they are the node's now."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an execution needs to know of its job before it begins."""

    run: int
    started_ms: int
    """Begin of this run: its deadline counts from here."""
    restarts: int
    """How often a restart has found this run unfinished."""
    job_id: str = ""
    epoch: int = 0
    """Which claim of the job this is: a write of an older one does nothing."""
    spent_ms: int = 0
    """How much of the run's deadline is spent."""
    done: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    """Step → the outcomes of tries that another execution did: they are not done again."""
    in_batch: bool = False
    """One of many: it lets single imports go first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Whether a try may begin."""

    cancelled: bool = False
    died: bool = False
    """The process died in this very try: it counts, and is not done again."""


ANY_EPOCH = -1
Place = tuple[str, int]
"""A step and which try of it."""


class Runs(Protocol):
    """The jobs as executions write them.

    A write names its claim, by run and epoch: one of an outdated claim does nothing. ``spent_ms``
    is how much of the run's deadline is spent; it never becomes less. News that comes with
    another write is kept in its transaction, before it. Each raises StoreDown.
    """

    async def claim(self, job_id: str, node: str) -> Claim | None:
        """None when the job is over or gone. Tells ``workflow_resumed`` after a restart."""
        ...

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
        """Marks the try as begun, before it has any effect. ``done`` are the outcomes so far, as
        JSON, where they are to be kept here.

        Who asks again under the same ``token`` is the same try. Marks of other steps end, but for
        those ``beside`` it. Status shows this try, or the one ``at``.
        """
        ...

    async def release(
        self, job_id: str, run: int, step: str, attempt: int, *, epoch: int = ANY_EPOCH
    ) -> None:
        """Takes the mark back: the try was stopped in good order and does not count."""
        ...

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
        """Keeps the outcomes so far, for another execution; it ``continues`` at once, or after a
        restart.
        """
        ...

    def tell(
        self,
        job_id: str,
        *news: News,
        run: int | None = None,
        epoch: int = ANY_EPOCH,
        spent_ms: int = 0,
        waits: Mapping[str, int] = {},
        at: Place | None = None,
    ) -> Future[None]:
        """Keeps the events soon, in the order of the calls, and then fans them out.

        The answer says when they are kept, or StoreDown when they are not. ``waits`` are the steps
        that now wait for a retry, with the milliseconds; status shows the try ``at`` from now on.
        """
        ...

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
        """The terminal write: the status that the job ended in. A failure of a job whose cancel
        was accepted ends as ``cancelled``. None when this run has ended already.
        """
        ...


class EventLog(Protocol):
    """The events as watchers read them: append-only, ``seq`` 1, 2, 3 … without gaps."""

    async def read(self, job_id: str, after: int, limit: int) -> Sequence[Event]: ...

    def subscribe(self, hear: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        """Calls ``hear`` in the event loop after each commit here, and with what ``listen`` finds;
        the answer ends it.
        """
        ...

    async def listen(self, wanted: Callable[[], Collection[str]]) -> None:
        """Lets the subscribed hear what other processes tell of these jobs, while there are any.

        An event may come late or twice; where some were missed, the story's last one comes.
        Raises: StoreDown; it may be called again.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How one method's jobs stand."""

    open: int = 0
    lost: int = 0
    """Open jobs that nobody works on any more, by the times asked for."""
    doubled: int = 0
    """Jobs with more or fewer ends than runs, among the last that ended."""


RECORDS_MOST = 2_000  # our choice: more would cost more and prove no more
DOUBLED_MOST = 2_000  # our choice: how many of the last ends are looked through


class Records(Protocol):
    """What is kept of finished imports, to compare methods by."""

    async def records(
        self, since_ms: int, most: int = RECORDS_MOST, *, method: str | None = None
    ) -> Sequence[ImportRecord]:
        """Those finished since then, oldest first; at most so many, the newest ones."""
        ...

    async def endings(
        self, since_ms: int, most: int, *, method: str
    ) -> Mapping[tuple[str, int], int]:
        """Outcome and duration (ms) → how many ended so, of the newest so many since then."""
        ...

    async def figures(
        self, since_ms: int, outcomes: Collection[str], percents: Collection[int]
    ) -> Figures:
        """What all that finished since then come to; durations are of these outcomes."""
        ...

    async def tally(
        self, *, moved_before_ms: int, queued_before_ms: int, since_ms: int
    ) -> Mapping[str, Tally]:
        """By method. ``lost`` are running jobs that last moved before then, and queued ones that
        were queued before then; ``doubled`` looks at the last ends since ``since_ms``.
        """
        ...

    async def remove_records(self, before_ms: int) -> None: ...


class Upkeep(Protocol):
    """What a process asks of the journal beside its imports."""

    async def seen(self, node: str) -> None:
        """Keeps that the node is alive now. A try that it dies in counts up to here."""
        ...

    async def left_by(
        self, alive: Collection[str], own: str, own_before_ms: int, *, method: str, limit: int
    ) -> Sequence[Job]:
        """Open jobs of processes that are not alive, the oldest ``limit`` of them; and of ``limit``
        own ones, those that nothing has moved since then: the next call looks at the next ones,
        and so round all of them.
        """
        ...

    async def cancel_requests(self, node: str) -> Sequence[str]:
        """Ids of this node's open jobs that somebody wants cancelled."""
        ...

    async def last_moment(self) -> int | None:
        """When the last job came or ended, in epoch milliseconds; None where there was none."""
        ...

    async def finished_before(self, before_ms: int, limit: int) -> Sequence[str]:
        """Ids of jobs that ended before then, the oldest first."""
        ...

    async def remove_finished(self, job_ids: Collection[str], before_ms: int) -> int:
        """How many of these jobs, if they still ended before then, are gone with their events."""
        ...

    async def remove_keys(self, before_ms: int) -> None:
        """Idempotency-Keys that came before then stand for nothing any more."""
        ...

    async def queued(self) -> int:
        """How many jobs wait."""
        ...

    async def counts(self) -> Mapping[str, int]:
        """How many jobs have each status."""
        ...


class Journal(Jobs, Waiting, Runs, EventLog, Records, Upkeep, Protocol):
    """All of it, for those who join or look after the whole."""
