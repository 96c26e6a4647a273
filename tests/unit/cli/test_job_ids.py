"""A job may be named by as much of its id as tells it apart."""

from typing import Any

import pytest

from bookline.cli.job_ids import find_job
from bookline.errors import Refused

ORWELL = "import-9780451524935-1795979414503-PYlijrRSbR8IRcwJ"
EMMA = "import-9780141439587-1795979414777-a-b_QWxyzIRcwJ12"
AGAIN = "import-9780141439587-1795979499999-0a-b_QWxyzIRcwJ1"


class Client:
    """As much of a client as naming a job needs."""

    async def status(self, job_id: str) -> dict[str, Any]:
        if job_id not in {ORWELL, EMMA, AGAIN}:
            raise Refused("JOB_NOT_FOUND", "unknown")
        return {"jobId": job_id}

    async def jobs(self, **_: Any) -> dict[str, Any]:
        return {"items": [{"jobId": one} for one in (AGAIN, EMMA, ORWELL)]}


@pytest.mark.parametrize(
    ("text", "job_id"),
    [
        (ORWELL, ORWELL),
        ("PYli", ORWELL),
        ("9780451524935", ORWELL),
        ("97804", ORWELL),
        ("import-97804", ORWELL),
        ("a-b_", EMMA),
    ],
)
async def test_enough_of_an_id_names_its_job(text: str, job_id: str) -> None:
    assert await find_job(Client(), text) == {"jobId": job_id}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("PYl", "JOB_NOT_FOUND"),
        ("lijr", "JOB_NOT_FOUND"),
        ("9780141439587", "INVALID_REQUEST"),
        ("import-", "INVALID_REQUEST"),
    ],
)
async def test_what_names_no_job_or_several_is_refused(text: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        await find_job(Client(), text)  # type: ignore[arg-type]

    assert refused.value.code == code
