"""A job or a batch may be named by as much of its id as tells it apart."""

from typing import Any

import pytest

from bookline.cli.job_ids import find_batch, find_job
from bookline.errors import Refused

ORWELL = "import-9780451524935-1795979414503-PYlijrRSbR8IRcwJ"
EMMA = "import-9780141439587-1795979414777-a-b_QWxyzIRcwJ12"
AGAIN = "import-9780141439587-1795979499999-0a-b_QWxyzIRcwJ1"

SHELF = "batch-1795979414503-KZahCzpQL5mgZeHE"
LIST = "batch-1795979414999-9-a_zpQL5mgZeHE0"


class Client:
    """As much of a client as naming a job needs."""

    async def status(self, job_id: str) -> dict[str, Any]:
        if job_id not in {ORWELL, EMMA, AGAIN}:
            raise Refused("JOB_NOT_FOUND", "unknown")
        return {"jobId": job_id}

    async def jobs(self, **_: Any) -> dict[str, Any]:
        return {"items": [{"jobId": one} for one in (AGAIN, EMMA, ORWELL)]}

    async def batch(self, batch_id: str) -> dict[str, Any]:
        if batch_id not in {SHELF, LIST}:
            raise Refused("BATCH_NOT_FOUND", "unknown")
        return {"batchId": batch_id}

    async def batches(self, **_: Any) -> dict[str, Any]:
        return {"items": [{"batchId": one} for one in (LIST, SHELF)]}


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


@pytest.mark.parametrize(
    ("text", "batch_id"), [(SHELF, SHELF), ("KZah", SHELF), ("9-a_", LIST), (LIST[:20], LIST)]
)
async def test_enough_of_an_id_names_its_batch(text: str, batch_id: str) -> None:
    assert await find_batch(Client(), text) == {"batchId": batch_id}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "code"),
    [("KZa", "BATCH_NOT_FOUND"), ("1795", "BATCH_NOT_FOUND"), ("batch-1", "INVALID_REQUEST")],
)
async def test_what_names_no_batch_or_several_is_refused(text: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        await find_batch(Client(), text)  # type: ignore[arg-type]

    assert refused.value.code == code
