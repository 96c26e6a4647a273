"""The service: changes are kept with who and why, advances pass the gates, a rollback is told."""

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bookline.errors import Refused
from bookline.job import COMPLETED, FAILED, ImportInput, Job
from bookline.migration.gates import Gates
from bookline.migration.rollout import Change
from bookline.migration.rollout_log import Revision
from bookline.migration.rollouts import WEEK_MS, Rollouts
from bookline.progress.events import completed, ending
from bookline.stores.opening import stores_in_memory

NOW_MS = 1_700_000_000_000
DEADLINE_MS = 900_000
ISBN = "9780142437247"
RESULT = {"isbn": ISBN, "saved": True, "storedIn": "database", "warnings": [], "source": "auto"}


@dataclass
class Bench:
    now_ms: int = NOW_MS
    start_percent: int = 0
    has_legacy: bool = True

    def __post_init__(self) -> None:
        stores = stores_in_memory(lambda: self.now_ms)
        self.journal, self.kept = stores.journal, stores.rollout
        self.jobs = 0
        self.rollouts = self.again()

    def again(self) -> Rollouts:
        """Another process, or the same one after a restart."""
        return Rollouts(
            self.kept, self.journal, clock=lambda: self.now_ms, start_percent=self.start_percent,
            has_legacy=self.has_legacy, deadline_ms=DEADLINE_MS, gates=Gates(min_sample=100),
        )  # fmt: skip

    async def finish(
        self, method: str, count: int, status: str = COMPLETED, *, after_ms: int = 100
    ) -> None:
        for _ in range(count):
            job_id = await self.open(method)
            self.now_ms += after_ms
            news = completed(1, RESULT) if status == COMPLETED else ending(1, status, {})
            error = None if status == COMPLETED else {"code": "SAVE_FAILED", "step": None}
            result = RESULT if status == COMPLETED else None
            await self.journal.finish(job_id, news, run=1, result=result, error=error)

    async def open(self, method: str) -> str:
        self.jobs += 1
        order = ImportInput(job_id=f"job-{self.jobs}", isbn=ISBN, input_isbn=ISBN)
        job = Job(order=order, method=method, created_ms=self.now_ms, updated_ms=self.now_ms)
        await self.journal.open(job)
        await self.journal.claim(order.job_id, "node")
        return order.job_id

    async def percent(self) -> int:
        return (await self.rollouts.standing()).rollout.percent

    async def at(self, percent: int, *, automatic: bool = False) -> None:
        await self.rollouts.change(Change(percent=percent, automatic=automatic), "ada", "test")
        self.now_ms += 1


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_fresh_deployment_starts_where_it_is_told() -> None:
    assert await Bench(start_percent=30).percent() == 30


async def test_a_change_holds_everywhere_and_after_a_restart(bench: Bench) -> None:
    other = bench.again()
    assert await other.choose("ada", ISBN) == "legacy"

    await bench.rollouts.change(Change(percent=100), "ada", "go")

    assert await other.choose("ada", ISBN) == "workflow"
    assert await bench.again().choose("ada", ISBN) == "workflow"


async def test_a_change_is_kept_with_time_actor_and_reason(bench: Bench) -> None:
    await bench.rollouts.change(Change(percent=10), "ada", "first stage")
    bench.now_ms += 1_000
    await bench.rollouts.change(Change(kill_switch=True), "eve", "covers are gone")

    told = await bench.rollouts.describe()

    assert (told["updatedBy"], told["reason"]) == ("eve", "covers are gone")
    assert [(one["by"], one["percent"], one["killSwitch"]) for one in told["history"]] == [
        ("eve", 10, True),
        ("ada", 10, False),
    ]
    assert told["history"][0]["at"] > told["history"][1]["at"]


async def test_changes_at_once_are_all_kept(bench: Bench) -> None:
    others = [bench.again() for _ in range(4)]

    await asyncio.gather(
        *(
            one.change(Change(users={f"user-{n}": "workflow"}), "ada", "")
            for n, one in enumerate(others)
        )
    )

    users = (await bench.rollouts.standing()).rollout.users
    assert sorted(users) == ["user-0", "user-1", "user-2", "user-3"]


async def test_a_state_that_cannot_be_read_sends_everybody_to_legacy(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bad: list[Any] = [None, {}, {"percent": "10abc"}, {"percent": 500, "salt": "s"}]
    for number, state in enumerate(bad, 1):
        await bench.kept.append(
            Revision(number=number, at_ms=1, actor="?", reason="?", state=state)
        )
        caplog.clear()
        with caplog.at_level(logging.ERROR):
            ways = {await bench.rollouts.choose(f"user-{n}", ISBN) for n in range(50)}
        assert ways == {"legacy"}
        assert len(caplog.records) == 1, "logged once, not at every import"


async def test_a_state_that_cannot_be_read_can_be_put_right(bench: Bench) -> None:
    await bench.kept.append(Revision(number=1, at_ms=1, actor="?", reason="?", state=None))

    await bench.rollouts.change(Change(percent=50), "ada", "put right")

    assert await bench.again().standing() == await bench.rollouts.standing()
    assert await bench.percent() == 50


async def test_without_a_legacy_importer_all_go_by_the_workflow() -> None:
    bench = Bench(has_legacy=False)

    assert await bench.rollouts.choose("ada", ISBN) == "workflow"
    for change in (Change(percent=50), Change(kill_switch=True)):
        with pytest.raises(Refused, match="no legacy importer"):
            await bench.rollouts.change(change, "ada", "")
    assert (await bench.rollouts.describe())["percent"] == 100


# ------------------------------------------------------------------ advance and roll back
async def test_the_first_stage_needs_no_sample(bench: Bench) -> None:
    await bench.rollouts.advance("ada", "go")

    assert await bench.percent() == 10


async def test_a_closed_gate_refuses_and_says_which_and_by_how_much(bench: Bench) -> None:
    await bench.at(10)
    await bench.finish("workflow", 40)
    await bench.finish("legacy", 100)

    with pytest.raises(Refused) as refused:
        await bench.rollouts.advance("ada", "go")

    assert refused.value.code == "INVALID_STATE"
    assert "still missing: 60 of workflow" in refused.value.message
    details = refused.value.details or {}
    [sample] = [gate for gate in details["gates"] if gate["gate"] == "sample"]  # type: ignore[attr-defined]
    assert not sample["passed"]
    assert await bench.percent() == 10


async def test_stage_by_stage_to_the_whole(bench: Bench) -> None:
    for percent in (10, 50, 100):
        await bench.rollouts.advance("ada", "go")
        assert await bench.percent() == percent
        bench.now_ms += 1
        await bench.finish("workflow", 100)
        await bench.finish("legacy", 100)
    with pytest.raises(Refused, match="100 % already"):
        await bench.rollouts.advance("ada", "go")


async def test_what_finished_before_the_stage_does_not_count(bench: Bench) -> None:
    await bench.finish("workflow", 100)
    await bench.finish("legacy", 100)
    bench.now_ms += 1
    await bench.at(10)

    with pytest.raises(Refused, match="still missing"):
        await bench.rollouts.advance("ada", "go")


async def test_an_open_incident_refuses_even_the_first_stage(bench: Bench) -> None:
    await bench.rollouts.change(Change(incident="provider key"), "ada", "")

    with pytest.raises(Refused, match="incidents"):
        await bench.rollouts.advance("ada", "go")


async def test_a_killed_rollout_does_not_advance(bench: Bench) -> None:
    await bench.rollouts.change(Change(kill_switch=True), "ada", "")

    with pytest.raises(Refused, match="kill switch"):
        await bench.rollouts.advance("ada", "go")


async def test_a_lost_job_keeps_the_gate_closed(bench: Bench) -> None:
    await bench.at(10)
    await bench.open("workflow")
    bench.now_ms += DEADLINE_MS + 61_000
    await bench.finish("workflow", 100)
    await bench.finish("legacy", 100)

    with pytest.raises(Refused, match="lost"):
        await bench.rollouts.advance("ada", "go")


async def test_a_rollback_sends_everybody_back(bench: Bench) -> None:
    await bench.at(50)

    await bench.rollouts.rollback("ada", "phones ring")

    assert await bench.percent() == 0
    with pytest.raises(Refused, match="0 % already"):
        await bench.rollouts.rollback("ada", "again")


# ------------------------------------------------------------------ by itself
async def test_it_advances_by_itself_when_all_gates_are_passed(bench: Bench) -> None:
    await bench.at(10, automatic=True)
    assert await bench.rollouts.look() is None
    await bench.finish("workflow", 100)
    await bench.finish("legacy", 100)

    moved = await bench.rollouts.look()

    assert moved is not None
    assert moved.revision is not None
    assert (moved.rollout.percent, moved.revision.actor) == (50, "bookline")


async def test_it_rolls_back_by_itself_and_says_why(bench: Bench) -> None:
    await bench.at(50, automatic=True)
    await bench.finish("workflow", 15)
    await bench.finish("workflow", 15, FAILED)
    await bench.finish("legacy", 100)

    moved = await bench.rollouts.look()

    assert moved is not None
    assert moved.rollout.percent == 0
    assert moved.revision is not None
    assert "success: the workflow's success rate is -50.0 points off" in moved.revision.reason
    assert "rolled back" in moved.rollout.incidents[0].text


async def test_after_its_rollback_it_stays_until_somebody_has_looked(bench: Bench) -> None:
    await bench.at(50, automatic=True)
    await bench.finish("workflow", 30, FAILED)
    await bench.finish("legacy", 100)
    await bench.rollouts.look()

    assert await bench.rollouts.look() is None
    with pytest.raises(Refused, match="incidents"):
        await bench.rollouts.advance("ada", "go")
    await bench.rollouts.change(Change(resolve=1), "ada", "the key was wrong")
    await bench.rollouts.advance("ada", "again")
    assert await bench.percent() == 10


async def test_the_whole_is_still_held_against_legacys_last_week(bench: Bench) -> None:
    await bench.finish("legacy", 100)
    bench.now_ms += 1
    await bench.at(100, automatic=True)
    await bench.finish("workflow", 40, FAILED)

    moved = await bench.rollouts.look()

    assert moved is not None
    assert moved.rollout.percent == 0


async def test_legacys_records_of_before_the_last_week_are_past(bench: Bench) -> None:
    await bench.finish("legacy", 100)
    bench.now_ms += WEEK_MS
    await bench.at(100, automatic=True)
    await bench.finish("workflow", 40, FAILED)

    assert await bench.rollouts.look() is None


async def test_by_hand_nothing_moves_by_itself(bench: Bench) -> None:
    await bench.at(50)
    await bench.finish("workflow", 50, FAILED)
    await bench.finish("legacy", 100)

    assert await bench.rollouts.look() is None
    assert await bench.percent() == 50


async def test_of_two_processes_that_look_at_once_one_moves(bench: Bench) -> None:
    await bench.at(10, automatic=True)
    await bench.finish("workflow", 100)
    await bench.finish("legacy", 100)

    moved = await asyncio.gather(*(bench.again().look() for _ in range(8)))

    assert [one is not None for one in moved].count(True) == 1
    assert await bench.percent() == 50
    assert len(await bench.kept.history(100)) == 2


async def test_a_judgement_does_not_undo_what_somebody_did_meanwhile(bench: Bench) -> None:
    await bench.at(10)
    standing = await bench.rollouts.standing()
    await bench.at(0)

    with pytest.raises(Refused, match="somebody else"):
        await bench.rollouts._move(standing, Change(percent=50), "ada", "late")
    assert await bench.percent() == 0


async def test_open_jobs_are_counted_for_the_drain(bench: Bench) -> None:
    await bench.open("legacy")
    await bench.finish("legacy", 1)

    assert await bench.rollouts.open_jobs() == {"workflow": 0, "legacy": 1}


async def test_metrics_look_only_at_their_window(bench: Bench) -> None:
    await bench.finish("workflow", 2)
    bench.now_ms += 60_000
    await bench.finish("workflow", 3)

    told = await bench.rollouts.metrics("1m", 59_000)

    assert told["window"] == "1m"
    assert told["methods"]["workflow"]["count"] == 3


async def test_a_killed_switch_is_seen_in_the_next_choice(bench: Bench) -> None:
    await bench.at(100)
    before = await bench.rollouts.choose("ada", ISBN)

    await bench.again().change(Change(kill_switch=True), "ada", "stop")

    assert (before, await bench.rollouts.choose("ada", ISBN)) == ("workflow", "legacy")
    assert replace((await bench.rollouts.standing()).rollout, kill_switch=False).percent == 100


async def test_a_full_list_of_incidents_does_not_stop_a_rollback(bench: Bench) -> None:
    await bench.at(50, automatic=True)
    for number in range(100):
        await bench.rollouts.change(Change(incident=f"trouble {number}"), "ada", "")
    await bench.finish("workflow", 30, FAILED)
    await bench.finish("legacy", 100)

    moved = await bench.rollouts.look()

    assert moved is not None
    assert moved.rollout.percent == 0


async def test_however_many_come_by_the_workflow_legacy_stays_in_sight(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookline.migration.rollouts.JUDGED_MOST", 120)
    await bench.finish("legacy", 100)
    bench.now_ms += 1
    await bench.at(100, automatic=True)
    await bench.finish("workflow", 130)
    await bench.finish("workflow", 60, FAILED)

    moved = await bench.rollouts.look()

    assert moved is not None
    assert moved.rollout.percent == 0
