"""Which processes are alive, where many machines share a PostgreSQL: each beats in the database.

Way:     app.py opens it; all others speak to the port Nodes
Rule 1:  no two clocks are compared: a process is dead when its beat has stood still for so long
         while somebody else could watch it. A database that was away, or a watcher that was frozen,
         kills nobody.
Rule 2:  a dead one's row goes, so all agree at once. One that only slept has its row again at its
         next beat; what it had is claimed anew by others, and the journal refuses its old claim.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial

from bookline.clocks import SharedClock
from bookline.errors import StoreDown
from bookline.stores.database import Database, Row, Session
from bookline.stores.postgres_session import NOW_MS

log = logging.getLogger(__name__)

BEAT_SECONDS = 2.0  # our choice
DEAD_SECONDS = 10.0  # our choice: docs/contract.md promises that imports go on within 30 s
_CHORE_MS = int(DEAD_SECONDS * 1000)  # who is taken for dead has lost its chore, too
OPEN_SECONDS = 10.0
_BEAT = f"""INSERT INTO nodes (node, seen_ms) VALUES (:node, {NOW_MS})
            ON CONFLICT (node) DO UPDATE SET seen_ms = excluded.seen_ms RETURNING seen_ms"""
_LEAVE = "DELETE FROM nodes WHERE node = :node"
_LOOK = "SELECT node, seen_ms FROM nodes"
_BURY = "DELETE FROM nodes WHERE node = :node AND seen_ms = :seen_ms"
# One that lies further ahead than any is put was taken before the server's clock was set back.
_TAKE = f"""INSERT INTO moments (name, at_ms) VALUES (:name, {NOW_MS} + {_CHORE_MS})
            ON CONFLICT (name) DO UPDATE SET at_ms = excluded.at_ms
            WHERE moments.at_ms <= {NOW_MS} OR moments.at_ms > {NOW_MS} + {_CHORE_MS}
            RETURNING at_ms"""
_HOLD = f"""UPDATE moments SET at_ms = {NOW_MS} + {_CHORE_MS}
            WHERE name = :name AND at_ms = :at_ms RETURNING at_ms"""
_GIVE = "DELETE FROM moments WHERE name = :name AND at_ms = :at_ms"


class Leases:
    """Fills the port Nodes with rows of the journal's table ``nodes``."""

    def __init__(
        self,
        database: Database,
        clock: SharedClock,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` hears with each beat what time it is there; ``steady`` gives seconds that only
        rise.
        """
        self.node_id = f"node-{uuid.uuid4().hex[:16]}"
        self._database = database
        self._clock = clock
        self._steady = steady
        self._watched: dict[str, tuple[int, float]] = {}
        """Node → its last beat, and for how many seconds it has stood still."""
        self._looked_at = steady()
        self._holding = asyncio.Lock()
        self._chores: dict[str, int] = {}
        """What is being done here, and until when it is ours."""

    def open(self) -> None:
        try:
            self._database.write_soon(self._beat, self.node_id).result(OPEN_SECONDS)
        except TimeoutError as error:
            raise StoreDown("the database does not answer") from error

    def close(self) -> None:
        leave = partial(_execute, _LEAVE, {"node": self.node_id})
        with contextlib.suppress(StoreDown, TimeoutError):  # then the others wait for its beat
            self._database.write_soon(leave, self.node_id).result(OPEN_SECONDS)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            with contextlib.suppress(StoreDown):  # readyz and the imports tell of it
                await self._database.write(self._beat, self.node_id)
                await self._hold_chores()
                await self._bury(await self._dead())

    async def living(self) -> set[str]:
        dead = await self._dead()
        return {self.node_id, *self._watched} - set(dead)

    @contextlib.asynccontextmanager
    async def only_one(self, chore: str) -> AsyncIterator[bool]:
        name = f"chore {chore}"
        taken = await self._database.write(partial(_execute, _TAKE, {"name": name}))
        if not taken:
            yield False
            return
        self._chores[name] = taken[0]["at_ms"]
        try:
            yield True
        finally:
            with contextlib.suppress(StoreDown):
                async with self._holding:
                    given = {"name": name, "at_ms": self._chores.pop(name)}
                    await self._database.write(partial(_execute, _GIVE, given), name)

    def _beat(self, session: Session) -> None:
        asked_at = self._clock.passed()
        rows = session.execute(_BEAT, {"node": self.node_id})
        self._clock.hear(rows[0]["seen_ms"], asked_at)

    async def _hold_chores(self) -> None:
        async with self._holding:
            for name, at_ms in list(self._chores.items()):
                held = {"name": name, "at_ms": at_ms}
                kept = await self._database.write(partial(_execute, _HOLD, held), name)
                self._chores[name] = kept[0]["at_ms"] if kept else at_ms

    async def _dead(self) -> dict[str, int]:
        """Those whose beat has stood still for too long, with that beat."""
        rows = await self._database.look_up(partial(_execute, _LOOK, {}))
        now = self._steady()
        passed = min(now - self._looked_at, 2 * BEAT_SECONDS)  # more was nobody's watching
        self._looked_at = now
        watched: dict[str, tuple[int, float]] = {}
        for row in rows:
            node, seen_ms = row["node"], row["seen_ms"]
            before = self._watched.get(node)
            still = before[1] + passed if before is not None and before[0] == seen_ms else 0.0
            watched[node] = (seen_ms, still)
        self._watched = watched
        return {
            node: seen_ms
            for node, (seen_ms, still) in watched.items()
            if still >= DEAD_SECONDS and node != self.node_id
        }

    async def _bury(self, dead: dict[str, int]) -> None:
        for node, seen_ms in dead.items():
            log.warning("%s gives no sign of life: its imports continue elsewhere", node)
            gone = {"node": node, "seen_ms": seen_ms}
            await self._database.write(partial(_execute, _BURY, gone), node)


def _execute(sql: str, values: Mapping[str, object], session: Session) -> Sequence[Row]:
    return session.execute(sql, values)
