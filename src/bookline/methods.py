"""The methods by which imports are run here: the workflow's engine and the legacy importer.

Way:     app.py → here → engine/, migration/legacy
Rule 1:  the legacy importer is known by its name alone: it can be deleted, and all else stays.
"""

import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from bookline.engine.dbos import DbosEngine
from bookline.engine.leases import Leases
from bookline.engine.locks import Locks
from bookline.engine.nodes import Nodes
from bookline.engine.places import Places
from bookline.engine.tries import Policy
from bookline.engine.world import World
from bookline.importers import Importer, OtherImporter
from bookline.measures import Measures
from bookline.ports import Steps
from bookline.resources import Kept
from bookline.settings import Settings
from bookline.steps.joined import AllSteps
from bookline.stores.runs_together import RunsTogether
from bookline.traces import span

LEGACY_ROOM = "bookline.migration.legacy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Methods:
    """Who runs imports, and under which name of this process."""

    node: Nodes
    places: Places
    engine: DbosEngine
    legacy: OtherImporter | None
    """None where it has been deleted."""

    @property
    def by_name(self) -> dict[str, Importer]:
        others: dict[str, Importer] = {} if self.legacy is None else {"legacy": self.legacy}
        return {"workflow": self.engine, **others}

    @property
    def others(self) -> Sequence[OtherImporter]:
        """All but the workflow's engine."""
        return [] if self.legacy is None else [self.legacy]

    @property
    def running(self) -> int:
        """Imports that this process works on."""
        return sum(len(one.running) for one in self.by_name.values())


def legacy_room() -> Any:
    """The legacy importer's package; None where it has been deleted."""
    found = importlib.util.find_spec(LEGACY_ROOM)
    return None if found is None else importlib.import_module(LEGACY_ROOM)


async def open_methods(
    settings: Settings,
    kept: Kept,
    steps: AllSteps,
    batch_steps: AllSteps,
    wrap_steps: Callable[[AllSteps], Steps],
    measures: Measures,
    stack: AsyncExitStack,
    *,
    does_imports: bool,
) -> Methods:
    """Running until the stack is closed. ``wrap_steps`` is for the workflow's steps alone.

    Raises: StoreDown.
    """
    journal, folder = kept.stores.journal, settings.database_dir
    node = (
        Leases(journal.database, kept.clock) if settings.postgres_url else Locks(folder / "nodes")
    )
    node.open()
    stack.callback(node.close)
    places = Places(settings.at_work if does_imports else 0)
    world = World(
        runs=journal,
        steps=steps,
        policy=Policy(
            deadline_seconds=settings.job_deadline_seconds, retry_scale=settings.retry_scale
        ),
        node=node.node_id,
        clock=kept.clock,
        places=places,
        measures=measures,
        span=span,
    )
    engine = DbosEngine(
        settings.postgres_url or folder / "engine.db",
        replace(world, steps=wrap_steps(steps)),
        node.living,
        batch_world=replace(
            world,
            steps=wrap_steps(batch_steps),
            runs=RunsTogether(journal, journal, kept.clock),
        ),
        does_imports=does_imports,
    )
    await engine.launch()
    stack.push_async_callback(engine.close)
    return Methods(
        node=node,
        places=places,
        engine=engine,
        legacy=_open_legacy(kept, world, node, stack, does_imports=does_imports),
    )


def _open_legacy(
    kept: Kept, world: World, node: Nodes, stack: AsyncExitStack, *, does_imports: bool
) -> OtherImporter | None:
    room = legacy_room()
    if room is None:
        return None
    legacy: OtherImporter = room.JobStateManager(
        kept.storage.tables("legacy", room.MIGRATIONS),
        world,
        node.living,
        kept.stores.journal.left_by,
        does_imports=does_imports,
    )
    stack.push_async_callback(legacy.close)
    return legacy
