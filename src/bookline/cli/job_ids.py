"""A job by its id, or by a part of it that is short enough to type.

Way:     the commands about one job → here → bookline/client
"""

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
    found = [job for job in newest if is_short_for(text, job["jobId"])]
    if len(found) == 1:
        return await client.status(found[0]["jobId"])
    if not found:
        raise Refused(
            "JOB_NOT_FOUND",
            f"there is no job {text!r}, and none of the newest {NEWEST} begins with it",
        )
    names = "\n".join(job["jobId"] for job in found[:5])
    raise Refused(
        "INVALID_REQUEST", f"{len(found)} imports begin with {text!r}; give more of one:\n{names}"
    )


def is_short_for(text: str, job_id: str) -> bool:
    """Whether a job's id, its ISBN or its random part begins with the text."""
    parts = job_id.split("-", 3)  # import, ISBN-13, milliseconds, random
    return any(part.startswith(text) for part in (job_id, *parts[1:2], *parts[3:]))
