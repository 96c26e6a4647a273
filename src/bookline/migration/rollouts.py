"""The service: who goes which way now, change it, judge it, advance it, roll it back.

Way:      api/ and cli/ → here → the rollout's log, gates.py; imports.py asks ``choose``
Rule 1:   read at every decision and never cached: a change holds from the next import on, in all
          processes.
Rule 2:   every change is a new revision with time, actor and reason; of two at once, one wins.
Rule 3:   an automatic rollback opens an incident, so that nothing advances before somebody has
          looked.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from bookline.errors import Refused
from bookline.job import METHODS
from bookline.migration.counted import Counted
from bookline.migration.gates import Gate, Gates, judge
from bookline.migration.metrics import QUANTILES, WITH_BOOK, Sample, summary
from bookline.migration.rollout import (
    INCIDENTS_MOST,
    LEGACY,
    WORKFLOW,
    Change,
    Rollout,
    check,
)
from bookline.migration.rollout_log import Revision, RolloutLog
from bookline.progress.journal import RECORDS_MOST, Records, Tally
from bookline.values import Json, iso

log = logging.getLogger(__name__)

HISTORY_MOST = 100
REASON_CHARS = 500  # our choice
ACTOR_CHARS = 100  # our choice
JUDGED_MOST = RECORDS_MOST  # of each method, so that the rarer one stays in sight
WEEK_MS = 7 * 86_400_000  # docs/contract.md: how long records are kept
DAY_MS = 86_400_000  # how far back doubled jobs are looked for
TRIES = 5  # of a change that another one overtakes
AUTOMATIC = "bookline"
"""The actor of automatic changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The rollout in force, and the change that made it so (None: a fresh deployment)."""

    rollout: Rollout
    revision: Revision | None

    @property
    def number(self) -> int:
        return self.revision.number if self.revision else 0


class Rollouts:
    """``clock`` gives epoch milliseconds; ``start_percent`` is where a fresh deployment starts.

    ``steady`` is a clock for what is lost by its age: none that is set ahead makes jobs old.

    Without a legacy importer (``has_legacy``) everybody goes by the workflow, whatever is kept.
    """

    def __init__(
        self,
        kept: RolloutLog,
        records: Records,
        *,
        clock: Callable[[], int],
        start_percent: int,
        has_legacy: bool,
        deadline_ms: int,
        gates: Gates | None = None,
        steady: Callable[[], int] | None = None,
    ) -> None:
        self._kept = kept
        self._records = records
        self._clock = clock
        self._steady = steady or clock
        self._start_percent = start_percent
        self.has_legacy = has_legacy
        self._deadline_ms = deadline_ms
        self.gates = gates or Gates()
        self._read: Standing | None = None
        self._counted = Counted()

    # ------------------------------------------------------------------ who goes which way
    async def choose(self, user_id: str | None, isbn: str) -> str:
        """``workflow`` or ``legacy``. Raises: StoreDown."""
        if not self.has_legacy:
            return WORKFLOW
        return (await self.standing()).rollout.method_for(user_id, isbn)

    async def standing(self) -> Standing:
        """What is in force now. Raises: StoreDown."""
        revision = await self._kept.newest()
        known = self._read
        if known is None or known.revision != revision:
            known = self._read = Standing(rollout=self._rollout(revision), revision=revision)
        return known

    def _rollout(self, revision: Revision | None) -> Rollout:
        if revision is None:
            return Rollout(percent=self._start_percent)
        try:
            if revision.state is None:
                raise Refused("INVALID_REQUEST", "its state is no JSON object")
            return Rollout.from_json(revision.state)
        except Refused as error:
            log.error("rollout %d cannot be read, so it is 0 %%: %s", revision.number, error)
            return Rollout(percent=0, since_ms=revision.at_ms)

    # ------------------------------------------------------------------ changes
    async def change(self, change: Change, actor: str, reason: str) -> Standing:
        """What is in force then. Raises: Refused (INVALID_REQUEST, INVALID_STATE), StoreDown."""
        for _ in range(TRIES):
            standing = await self.standing()
            changed = change.applied(standing.rollout, self._clock(), actor)
            if not self.has_legacy and (changed.percent < 100 or changed.kill_switch):
                raise Refused(
                    "INVALID_STATE",
                    "this deployment has no legacy importer: there is nothing to send anybody to",
                )
            if await self._append(standing, changed, actor, reason):
                return await self.standing()
        raise Refused("UNAVAILABLE", "the rollout is being changed by others; try again")

    async def advance(self, actor: str, reason: str) -> Standing:
        """The next stage. Raises: Refused (INVALID_STATE) with the gates that do not let it."""
        standing = await self.standing()
        stage = standing.rollout.next_stage
        if stage is None:
            raise Refused("INVALID_STATE", "the rollout is at 100 % already")
        if standing.rollout.kill_switch:
            raise Refused("INVALID_STATE", "the kill switch is on; switch it off first")
        gates = await self.judge(standing)
        closed = [gate for gate in gates if not gate.passed]
        if standing.rollout.percent > 0 and closed:
            told = "; ".join(f"{gate.name}: {gate.message}" for gate in closed)
            raise Refused(
                "INVALID_STATE", f"no advance to {stage} %: {told}",
                {"gates": [gate.to_json() for gate in gates]},
            )  # fmt: skip
        if standing.rollout.incidents:  # the only gate at 0 %, where there is no sample
            raise Refused("INVALID_STATE", f"no advance to {stage} %: incidents are open")
        return await self._move(standing, Change(percent=stage), actor, reason)

    async def rollback(self, actor: str, reason: str, incident: str | None = None) -> Standing:
        """Everybody back to legacy. Raises: Refused (INVALID_STATE) when all are there."""
        standing = await self.standing()
        if standing.rollout.percent == 0:
            raise Refused("INVALID_STATE", "the rollout is at 0 % already")
        return await self._move(standing, Change(percent=0, incident=incident), actor, reason)

    async def look(self) -> Standing | None:
        """One look of the automatic rollout: the new standing when it has moved, else None."""
        standing = await self.standing()
        rollout = standing.rollout
        if not self.has_legacy or not rollout.automatic or rollout.percent == 0:
            return None
        gates = await self.judge(standing)
        broken = [gate for gate in gates if gate.broken]
        try:
            if broken:
                why = "; ".join(f"{gate.name}: {gate.message}" for gate in broken)
                log.error("the rollout goes back to 0 %%: %s", why)
                # Where so many are open already, one more must not keep anybody on a bad workflow.
                is_full = len(rollout.incidents) >= INCIDENTS_MOST
                incident = None if is_full else f"rolled back: {why}"
                change = Change(percent=0, incident=incident)
                return await self._move(standing, change, AUTOMATIC, why)
            if rollout.next_stage is None or rollout.kill_switch:
                return None
            if all(gate.passed for gate in gates):
                change = Change(percent=rollout.next_stage)
                return await self._move(standing, change, AUTOMATIC, "all gates passed")
        except Refused as overtaken:
            log.info("automatic rollout: %s", overtaken)
        return None

    async def _move(self, standing: Standing, change: Change, actor: str, reason: str) -> Standing:
        """A change that was judged on ``standing``, and holds for nothing else."""
        if not self.has_legacy:
            raise Refused("INVALID_STATE", "this deployment has no legacy importer")
        changed = change.applied(standing.rollout, self._clock(), actor)
        if not await self._append(standing, changed, actor, reason):
            raise Refused("INVALID_STATE", "somebody else has just changed the rollout; look again")
        return await self.standing()

    async def _append(self, standing: Standing, changed: Rollout, actor: str, reason: str) -> bool:
        check(changed)
        revision = Revision(
            number=standing.number + 1,
            at_ms=self._clock(),
            actor=actor[:ACTOR_CHARS],
            reason=reason[:REASON_CHARS],
            state=changed.to_json(),
        )
        is_ours = await self._kept.append(revision)
        if is_ours:
            switch = ", killed" if changed.kill_switch else ""
            log.info("rollout %d: %d %%%s", revision.number, changed.percent, switch)
        return is_ours

    # ------------------------------------------------------------------ judging
    async def judge(self, standing: Standing | None = None) -> Sequence[Gate]:
        """Every gate, on what has finished since the stage began."""
        rollout = (standing or await self.standing()).rollout
        return await self._judge(rollout, await self._tally(rollout))

    async def _judge(self, rollout: Rollout, tallies: Mapping[str, Tally]) -> Sequence[Gate]:
        fresh_ms = rollout.since_ms
        # At 100 % legacy has no fresh ones: the workflow is still held against its last week.
        legacy_ms = self._clock() - WEEK_MS if rollout.percent == 100 else fresh_ms
        ours = await self._records.endings(fresh_ms, JUDGED_MOST, method=WORKFLOW)
        theirs = await self._records.endings(legacy_ms, JUDGED_MOST, method=LEGACY)
        return judge(
            Sample.of(ours),
            Sample.of(theirs),
            tallies,
            len(rollout.incidents),
            self.gates,
        )

    async def _tally(self, rollout: Rollout) -> Mapping[str, Tally]:
        now = self._steady()
        return await self._records.tally(
            moved_before_ms=now - self._deadline_ms - self.gates.lost_after_ms,
            queued_before_ms=now - self.gates.lost_queued_after_ms,
            since_ms=max(rollout.since_ms, now - DAY_MS),
        )

    async def open_jobs(self) -> dict[str, int]:
        """How many jobs of each method are not over yet."""
        tallies = await self._records.tally(
            moved_before_ms=0, queued_before_ms=0, since_ms=self._clock()
        )
        return _open(tallies)

    async def metrics(self, window: str, window_ms: int) -> Json:
        """The public ``metrics``, of what finished in the last ``window_ms`` (counted.py)."""
        return await self._counted.of(window, partial(self._metrics, window, window_ms))

    async def _metrics(self, window: str, window_ms: int) -> Json:
        since_ms = self._clock() - window_ms
        figures = await self._records.figures(since_ms, WITH_BOOK, QUANTILES)
        newest = {
            method: await self._records.records(since_ms, method=method) for method in METHODS
        }
        return summary(figures, newest, window)

    async def describe(self, limit: int = 20) -> Json:
        """The public ``rollout``: what is in force, its gates and its last changes."""
        standing = await self.standing()
        rollout, revision = standing.rollout, standing.revision
        tallies = await self._tally(rollout)
        return {
            "percent": rollout.percent if self.has_legacy else 100,
            "salt": rollout.salt,
            "killSwitch": rollout.kill_switch,
            "automatic": rollout.automatic,
            "stage": rollout.stage if self.has_legacy else 100,
            "nextStage": rollout.next_stage if self.has_legacy else None,
            "hasLegacy": self.has_legacy,
            "users": dict(rollout.users),
            "incidents": [
                {"number": one.number, "at": iso(one.at_ms), "by": one.actor, "text": one.text}
                for one in rollout.incidents
            ],
            "since": iso(rollout.since_ms) if rollout.since_ms else None,
            "updatedAt": iso(revision.at_ms) if revision else None,
            "updatedBy": revision.actor if revision else None,
            "reason": revision.reason if revision else None,
            "open": _open(tallies),
            "gates": [gate.to_json() for gate in await self._judge(rollout, tallies)],
            "history": [_past(one) for one in await self._kept.history(limit)],
        }


def _open(tallies: Mapping[str, Tally]) -> dict[str, int]:
    return {method: tallies.get(method, Tally()).open for method in (WORKFLOW, LEGACY)}


def _past(revision: Revision) -> Json:
    state = revision.state or {}
    return {
        "number": revision.number,
        "at": iso(revision.at_ms),
        "by": revision.actor,
        "reason": revision.reason,
        "percent": state.get("percent"),
        "salt": state.get("salt"),
        "killSwitch": state.get("killSwitch"),
        "automatic": state.get("automatic"),
        "incidents": len(state.get("incidents") or ()),
    }
