"""What was left between two of our parts: jobs that are kept and were never started, ends that the
list of jobs has not heard of, jobs whose instance has ended without them.

Way:      entry.py, each minute, and a batch's object for its own → here → a job's own object, the
          engine
Rule 1:   D1 says which jobs may be open; the truth is in their objects. Each is safe twice.
"""

import logging

from bookline.engine.tries import ended_by
from bookline.errors import StepFailed, StoreDown
from bookline.job import QUEUED
from on_cloudflare.cloud import Cloud
from on_cloudflare.plain import now_ms

log = logging.getLogger(__name__)

LATE_MS = 60_000  # our choice: a start takes well below a second, an import some
MOST = 100  # our choice: of one minute; the oldest first
_OPEN = """SELECT job_id FROM jobs WHERE method = 'workflow' AND status = 'queued'
           AND updated_ms < :before_ms AND batch_id IS NULL ORDER BY updated_ms LIMIT :most"""


async def take_all_up(cloud: Cloud) -> None:
    """All that are in no batch. Ends early, and quietly, when a store is down."""
    if cloud.database is None:
        return
    values = {"before_ms": now_ms() - LATE_MS, "most": MOST}
    try:
        rows = await cloud.database.read(lambda session: session.execute(_OPEN, values))
        for row in rows:
            await take_up(cloud, row["job_id"])
    except StoreDown as error:
        log.warning("jobs that were left are taken up later: %s", error)


async def take_up(cloud: Cloud, job_id: str) -> None:
    """Starts a job that never was; ends one whose instance has ended without it; tells of an end
    that was not told. Safe twice.

    Raises: StoreDown.
    """
    job = await cloud.jobs.find(job_id)
    if job is None:
        return
    if job.status == QUEUED:
        log.warning("%s was kept and never started; it starts now", job_id)
        await cloud.engine.take_up(job.order)
        return
    if not job.is_over:
        ended = await cloud.engine.find_end(job_id)
        if ended is None:
            return
        message = f"Cloudflare Workflows ended the import ({ended}); retry it"
        await cloud.run_journal(job_id).finish(
            ended_by(job.run, StepFailed(None, 0, "INTERNAL_ERROR", message))
        )
    await cloud.index.keep(*await cloud.jobs.ended(job_id))
