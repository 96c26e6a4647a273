"""A job or a batch by its id, or by a part of it that is short enough to type.

Way:     the commands about one job or batch → here → bookline/client
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bookline.errors import Refused
from bookline.values import Json

if TYPE_CHECKING:
    from bookline.client import BooklineClient

NEWEST = 200  # a short id is sought among so many: the API's page
SHORTEST = 4  # characters; our choice


async def find_job(client: "BooklineClient", text: str) -> Json:
    """The job of this id; else the one of the newest whose id, ISBN or random part begins so.

    Raises: Refused (JOB_NOT_FOUND; INVALID_REQUEST where several do).
    """
    try:
        return await client.status(text)
    except Refused as error:
        if error.code != "JOB_NOT_FOUND" or len(text) < SHORTEST:
            raise
    newest = (await client.jobs(status=None, limit=NEWEST, cursor=None))["items"]
    ids = [job["jobId"] for job in newest if is_short_for(text, job["jobId"])]
    return await client.status(_only(ids, text, "job"))


async def find_batch(client: "BooklineClient", text: str) -> Json:
    """The batch of this id; else the one of the newest whose id or random part begins so.

    Raises: Refused (BATCH_NOT_FOUND; INVALID_REQUEST where several do).
    """
    try:
        return await client.batch(text)
    except Refused as error:
        if error.code != "BATCH_NOT_FOUND" or len(text) < SHORTEST:
            raise
    newest = (await client.batches(limit=NEWEST, cursor=None))["items"]
    ids = [one["batchId"] for one in newest if is_short_for(text, one["batchId"])]
    return await client.batch(_only(ids, text, "batch"))


def is_short_for(text: str, full: str) -> bool:
    """Whether the id, a job's ISBN in it, or its random part begins with the text."""
    _, *parts = full.split("-", 3 if full.startswith("import-") else 2)
    del parts[-2]  # milliseconds
    return any(part.startswith(text) for part in (full, *parts))


def _only(ids: Sequence[str], text: str, kind: str) -> str:
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise Refused(
            f"{kind.upper()}_NOT_FOUND",
            f"there is no {kind} {text!r}, and none of the newest {NEWEST} begins with it",
        )
    names = "\n".join(ids[:5])
    raise Refused(
        "INVALID_REQUEST", f"{len(ids)} of them begin with {text!r}; give more of one:\n{names}"
    )
