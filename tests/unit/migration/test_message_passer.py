"""What is left of the job state manager once the workflow does the work: a thin message passer."""

from typing import Any

import pytest

from bookline.errors import Refused
from bookline.imports import Imports
from bookline.job import COMPLETED, ImportInput
from bookline.progress.events import STARTED, completed, milestone
from bookline.stores.journal import SqlJournal
from bookline.stores.opening import stores_in_memory

MessagePasser = pytest.importorskip("bookline.migration.legacy").MessagePasser

ISBN = "9780142437247"


class Taken:
    """An engine that notes what it is given."""

    def __init__(self) -> None:
        self.orders: list[ImportInput] = []

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        self.orders.append(order)


async def to_legacy(user_id: str | None, isbn: str) -> str:
    """A rollout that stands at nothing."""
    return "legacy"


@pytest.fixture
def journal() -> SqlJournal:
    return stores_in_memory(lambda: 1_000).journal


@pytest.fixture
def engines() -> dict[str, Any]:
    return {"workflow": Taken(), "legacy": Taken()}


@pytest.fixture
def passer(journal: SqlJournal, engines: dict[str, Any]) -> Any:
    imports = Imports(
        journal, engines, usable=["openlibrary"], node="node", clock=lambda: 1_000, choose=to_legacy
    )
    return MessagePasser(imports)


async def test_a_start_is_a_workflow_whatever_the_rollout_says(
    passer: Any, engines: dict[str, Any]
) -> None:
    answer = await passer.handle({"action": "start", "isbn": ISBN, "source": "openlibrary"})

    assert [order.job_id for order in engines["workflow"].orders] == [answer["jobId"]]
    assert engines["workflow"].orders[0].source == "openlibrary"
    assert engines["legacy"].orders == []


async def test_a_status_is_the_last_events(passer: Any, journal: SqlJournal) -> None:
    job_id = (await passer.handle({"action": "start", "isbn": ISBN}))["jobId"]
    queued = await passer.handle({"action": "status", "jobId": job_id})
    claim = await journal.claim(job_id, "node")
    assert claim is not None
    journal.tell(job_id, milestone(STARTED, {"isbn": ISBN}))
    started = await passer.handle({"action": "status", "jobId": job_id})
    result = {"isbn": ISBN, "saved": True, "storedIn": "database"}
    await journal.finish(job_id, completed(1, result), run=1, result=result, error=None)

    ended = await passer.handle({"action": "status", "jobId": job_id})

    assert (queued["status"], queued["lastEvent"]) == ("queued", None)
    assert started["status"] == STARTED
    assert ended["status"] == COMPLETED
    assert ended["lastEvent"]["data"]["result"] == result


@pytest.mark.parametrize("action", [None, "stop", "", 7, ["start"], {}])
async def test_another_action_is_refused(passer: Any, action: object) -> None:
    with pytest.raises(Refused, match="action must be"):
        await passer.handle({"action": action})
