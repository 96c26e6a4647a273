"""The service: start an import once, find it, list, cancel, retry. What api/ and cli/ call.

Way:      api/ or cli/ → here → the journal, then the engine → workflow.py
Rule 1:   a job is kept as queued before the engine hears of it: from the answer on it is known and
          survives anything. Recovery starts what the engine did not take.
Rule 2:   job id, workflow id and the events' job are one id.
"""

import contextlib
import hashlib
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from bookline.errors import Refused, StoreDown
from bookline.importers import Engine, Queue
from bookline.isbn import read_isbn
from bookline.job import FAILED, JOB_STATUSES, METHODS, SOURCES, ImportInput, Job
from bookline.logs import tell
from bookline.progress.journal import Idempotency, Jobs
from bookline.values import Page

log = logging.getLogger(__name__)

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")  # docs/contract.md; Cloudflare takes no other
USER_ID_CHARS = 200  # our choice
IDEMPOTENCY_KEY_CHARS = 200  # our choice


ChooseMethod = Callable[[str | None, str], Awaitable[str]]
"""The method for a user (if known) and an ISBN-13; the same ones always get the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a caller asks for, unchecked."""

    isbn: str
    source: str = "auto"
    user_id: str | None = None
    idempotency_key: str | None = None
    caller: str = ""
    """Whose idempotency keys these are."""


class Imports:
    """``clock`` gives epoch milliseconds; ``usable`` are the sources that can be asked.

    ``engines`` has one for each method that this deployment can run. Without a ``queue`` each job
    goes to its engine at once.
    """

    def __init__(
        self,
        jobs: Jobs,
        engines: Mapping[str, Engine],
        *,
        usable: Collection[str],
        node: str,
        clock: Callable[[], int],
        choose: ChooseMethod,
        queue: Queue | None = None,
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._engines = engines
        self._choose = choose
        self._usable = frozenset(usable)
        self._node = node
        self._clock = clock

    async def start(self, order: Order, method: str | None = None) -> tuple[Job, bool]:
        """The job, and whether it is new. The same Idempotency-Key and body give the same job.

        Without a ``method`` the rollout decides.
        Raises: Refused (INVALID_ISBN, INVALID_SOURCE, SOURCE_NOT_CONFIGURED, INVALID_REQUEST,
        INVALID_STATE), StoreDown.
        """
        isbn = read_isbn(order.isbn)
        self.check_source(order.source)
        _check_length("userId", order.user_id, USER_ID_CHARS)
        # What was asked for, not what was chosen: a rollout that moves on is not another body.
        idempotency = _idempotency(order, isbn.isbn13, method)
        if method is None:
            method = await self._choose(order.user_id, isbn.isbn13)
        self._check_method(method)
        job = self.new_job(isbn.isbn13, order.isbn, order.source, order.user_id, method)
        if self._queue is not None and not self._queue.reserve(job):  # no room here: it waits
            return await self._open_waiting(self._queue, job, order.caller, idempotency)
        try:
            opened = await self._jobs.open(job, idempotency)
            is_new = opened.job_id == job.job_id
            if is_new:
                await self.hand_over(job)
        finally:
            if self._queue is not None:
                self._queue.release(job)
        return opened, is_new

    async def _open_waiting(
        self, queue: Queue, job: Job, caller: str, idempotency: Idempotency | None
    ) -> tuple[Job, bool]:
        opened = await self._jobs.open(replace(job, node=None, flow=caller), idempotency)
        queue.stir()
        return opened, opened.job_id == job.job_id

    def new_job(
        self, isbn13: str, input_isbn: str, source: str, user_id: str | None,
        method: str = "workflow", batch_id: str | None = None,
    ) -> Job:  # fmt: skip
        """A job under a new id, not kept yet."""
        now = self._clock()
        return Job(
            order=ImportInput(
                job_id=f"import-{isbn13}-{now}-{secrets.token_urlsafe(12)}",
                isbn=isbn13,
                input_isbn=input_isbn,
                source=source,
                user_id=user_id,
            ),
            method=method,
            created_ms=now,
            updated_ms=now,
            node=self._node,
            batch_id=batch_id,
        )

    async def hand_over(self, job: Job) -> None:
        """A kept job to its engine; one that the engine does not take now starts later."""
        if self._queue is not None:
            await self._queue.hand_over(job)
            return
        try:
            await self._engines[job.method].start(job.order, in_batch=job.batch_id is not None)
        except StoreDown as error:
            log.warning("%s is kept and starts later: %s", job.job_id, error)

    async def find(self, job_id: str) -> Job:
        """Raises: Refused (JOB_NOT_FOUND, INVALID_REQUEST)."""
        job = await self._jobs.find(check_job_id(job_id))
        if job is None:
            raise Refused("JOB_NOT_FOUND", f"there is no job {job_id}")
        return job

    async def batch_of(self, job_id: str) -> str | None:
        """The batch that the job is in, if it is in one."""
        job = await self._jobs.find(job_id)
        return None if job is None else job.batch_id

    async def list(
        self,
        *,
        status: str | None = None,
        method: str | None = None,
        isbn: str | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        since_ms: int | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[Job]:
        """Newest first; ``isbn`` in any form. Raises: Refused (INVALID_REQUEST, INVALID_ISBN)."""
        _check_one_of("status", status, JOB_STATUSES)
        _check_one_of("method", method, METHODS)
        return await self._jobs.list(
            status=status,
            method=method,
            isbn=None if isbn is None else read_isbn(isbn).isbn13,
            user_id=user_id,
            batch_id=batch_id,
            since_ms=since_ms,
            limit=limit,
            cursor=cursor,
        )

    def stir(self) -> None:
        """Jobs have been kept that wait in the queue."""
        if self._queue is not None:
            self._queue.stir()

    async def cancel(self, job_id: str) -> Job:
        """The job, marked: it ends at its next step's edge, or at once in a wait or the queue.

        Raises: Refused (JOB_NOT_FOUND, INVALID_STATE).
        """
        job = await self._jobs.request_cancel(check_job_id(job_id))
        if job.is_over:
            tell(log, "import cancelled", jobId=job_id, status=job.status, code="CANCELLED")
        if job.method in self._engines:
            self._engines[job.method].wake(job_id)
        return job

    async def open_of(self, isbn: str) -> Sequence[str]:
        """The ids of the jobs of an ISBN-13 that are not over."""
        return await self._jobs.open_of(isbn)

    async def cancel_all(self, job_ids: Sequence[str]) -> None:
        """Cancels each of them that is not over by now. Raises: StoreDown."""
        for job_id in job_ids:
            with contextlib.suppress(Refused):
                await self.cancel(job_id)

    async def retry(self, job_id: str) -> Job:
        """The failed job, going on at the step that failed.

        Raises: Refused (JOB_NOT_FOUND, INVALID_STATE), StoreDown.
        """
        job = await self.find(job_id)
        engine = self._engines.get(job.method)
        if engine is None:
            raise Refused("INVALID_STATE", f"{_gone(job.method)}; import the book anew")
        if job.status == FAILED:
            await engine.settle(job_id)
        job = await self._jobs.reopen(job_id, self._node)
        await engine.restart(job_id)
        return job

    def _check_method(self, method: str) -> None:
        _check_one_of("method", method, METHODS)
        if method not in self._engines:
            raise Refused(
                "INVALID_REQUEST", f"{_gone(method)}; leave method out, or ask for another",
                {"method": method, "methods": sorted(self._engines)},
            )  # fmt: skip

    def check_source(self, source: str) -> None:
        """Raises: Refused (INVALID_SOURCE, SOURCE_NOT_CONFIGURED)."""
        if source not in SOURCES:
            raise Refused(
                "INVALID_SOURCE",
                f"source must be one of {', '.join(SOURCES)}",
                {"source": source[:100], "allowed": list(SOURCES)},
            )
        if source != "auto" and source not in self._usable:
            raise Refused(
                "SOURCE_NOT_CONFIGURED",
                f"{source} needs a key: set BOOKLINE_{source.upper()}_API_KEY, or ask another",
                {"source": source, "usable": sorted(self._usable)},
            )


def _gone(method: str) -> str:
    return f"this deployment has no {method} importer"


def check_job_id(job_id: str) -> str:
    """The same text. Raises: Refused for what no job id looks like."""
    if not JOB_ID.fullmatch(job_id):
        raise Refused(
            "JOB_NOT_FOUND", "there is no such job: a job id has up to 100 of A-Z a-z 0-9 _ -"
        )
    return job_id


def _check_length(name: str, value: str | None, most: int) -> None:
    if value is not None and len(value) > most:
        raise Refused("INVALID_REQUEST", f"{name} may have {most} characters")


def _check_one_of(name: str, value: str | None, allowed: Collection[str]) -> None:
    if value is not None and value not in allowed:
        raise Refused("INVALID_REQUEST", f"{name} must be one of {', '.join(allowed)}")


def _idempotency(order: Order, isbn13: str, method: str | None) -> Idempotency | None:
    body = json.dumps([isbn13, order.source, order.user_id, method])
    return idempotency_of(order.idempotency_key, order.caller, body.encode())


def idempotency_of(key: str | None, caller: str, body: bytes) -> Idempotency | None:
    """A caller's key with what it stands for; None without one. Raises: Refused."""
    if key is None:
        return None
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_CHARS:
        raise Refused(
            "INVALID_REQUEST", f"Idempotency-Key must have 1 to {IDEMPOTENCY_KEY_CHARS} characters"
        )
    return Idempotency(
        key=_hash(f"{caller}\0{key}".encode("utf-8", "surrogatepass")), body=_hash(body)
    )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
