"""What was left between two of our parts: jobs that are kept and were never started, ends that the
list of jobs has not heard of.

Way:      entry.py, each minute, and a batch's object for its own → here → a job's own object, the
          engine
Rule 1:   D1 says which jobs may be open; the truth is in their objects. Each is safe twice.
"""

import logging

from bookline.errors import StoreDown
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
    """Starts a job that waits for nobody any more; tells of one whose end was not told. Safe twice.

    Raises: StoreDown.
    """
    job = await cloud.jobs.find(job_id)
    if job is None:
        return
    if job.is_over:
        await cloud.index.keep(*await cloud.jobs.ended(job_id))
    elif job.status == QUEUED:
        log.warning("%s was kept and never started; it starts now", job_id)
        await cloud.engine.take_up(job.order)
