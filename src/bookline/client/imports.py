"""What the client asks of imports: start, follow, look at, cancel, retry.

Way:      BooklineClient has these calls → here → connection.py
Rule 1:   a start carries an Idempotency-Key, so asking again never starts a second import.
"""

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from bookline.client.connection import Connection, part
from bookline.client.events import Event, Progress, read_event
from bookline.values import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """An import that the server has kept: it continues whatever happens to either side."""

    job_id: str
    isbn: str
    """ISBN-13."""
    token: str
    """Opens this job's story and status, and nothing else, for 2 hours."""
    raw: Json
    """``data`` of the answer."""


class ImportCalls(Connection):
    """An import's calls."""

    async def readiness(self) -> Json:
        """Whether imports can be taken, and ``dependencies`` with ``ok`` and ``detail`` each.

        While they cannot, it waits, as every call does.
        """
        return await self.ask("GET", "/readyz")

    async def start(
        self, isbn: str, source: str = "auto", *, idempotency_key: str | None = None
    ) -> Started:
        """A new import, kept. The same ``idempotency_key`` gives the same job for 24 hours.

        Raises: Refused (INVALID_ISBN, INVALID_SOURCE …), TryLater.
        """
        key = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(16)}
        body = {"isbn": isbn, "source": source}
        async with self.one_start:
            data = await self.ask("POST", "/v2/import/workflow", body=body, headers=key)
        return Started(job_id=data["jobId"], isbn=data["isbn"], token=data["token"], raw=data)

    async def follow(
        self, job_id: str, *, after: int = 0, token: str | None = None
    ) -> AsyncGenerator[Event, None]:
        """Each event behind ``after`` once, in order, through any break, until the job's end.

        Raises: Refused (JOB_NOT_FOUND, UNAUTHORIZED), TryLater.
        """
        path = f"/v2/import/events/{part(job_id)}"
        async with aclosing(self.follow_stream(path, after, token, _ends_job)) as messages:
            async for message in messages:
                yield read_event(message)

    async def status(self, job_id: str, *, token: str | None = None) -> Json:
        """The job as it stands, from the moment of its start."""
        return await self.ask("GET", f"/v2/import/status/{part(job_id)}", query={"token": token})

    async def jobs(
        self,
        *,
        status: str | None = None,
        isbn: str | None = None,
        user_id: str | None = None,
        batch_id: str | None = None,
        since: datetime | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Json:
        """A page of jobs, newest first: ``items``, and the ``nextCursor`` for the next page.

        ``isbn`` in any form; ``since`` with its zone, of the job's creation.
        """
        query = {
            "status": status, "isbn": isbn, "userId": user_id, "batchId": batch_id,
            "since": since.isoformat() if since else None, "limit": limit, "cursor": cursor,
        }  # fmt: skip
        return await self.ask("GET", "/v2/import/jobs", query=query)

    async def cancel(self, job_id: str) -> Json:
        """The job, told to stop at its next step. Not repeated when the line breaks over it."""
        return await self.ask("POST", f"/v2/import/cancel/{part(job_id)}", is_repeatable=False)

    async def retry(self, job_id: str) -> Json:
        """The failed job, continuing where it failed. Not repeated when the line breaks over it."""
        return await self.ask("POST", f"/v2/import/retry/{part(job_id)}", is_repeatable=False)


def _ends_job(message: Json) -> bool:
    event = read_event(message)
    return isinstance(event, Progress) and event.is_end
