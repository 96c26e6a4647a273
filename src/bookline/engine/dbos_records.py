"""Records of tries in DBOS' own table: by DBOS' step, or written at once where that is the same.

Way:      job_run.py → here → DBOS, or dbos_at_once.py, dbos_together.py
Rule 1:   written at once only what began in this process: nothing of it was recorded before, so
          there is nothing to replay. What was resumed or rewound is DBOS' own step in all.
Rule 2:   a record that could not be written at once is DBOS' to make, with its own errors.
"""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from dbos import DBOS, StepReservation
from dbos._serialization import Serializer

from bookline.engine.dbos_at_once import begun
from bookline.errors import StoreDown
from bookline.patience import until_it_is_back
from bookline.values import Json


class JsonRecords(Serializer):
    """Records as plain JSON text: nobody who can write the database can run code."""

    def name(self) -> str:
        return "bookline_json"

    def serialize(self, data: Any) -> str:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"), default=_plain)

    def deserialize(cls, serialized_data: str) -> Any:  # noqa: N805 - as DBOS spells it
        value = json.loads(serialized_data)
        if isinstance(value, dict) and set(value) == {"__error__"}:
            return RuntimeError(value["__error__"])
        return value


def _plain(value: object) -> Json:
    """Raises: StoreDown for itself: what keeps DBOS from recording is no outcome of the step."""
    if isinstance(value, StoreDown):
        raise value
    if isinstance(value, BaseException):
        return {"__error__": f"{type(value).__name__}: {value}"}
    raise TypeError(f"{type(value).__name__} does not belong in a record")


class Keeper(Protocol):
    """Who writes records down where there is nothing to replay."""

    async def record(self, result: Any) -> bool:
        """Whether DBOS' ``result`` of a step is known to be recorded."""
        ...

    async def close(self) -> None: ...


class DbosRecords:
    """Fills the port Records, within a workflow of DBOS."""

    def __init__(
        self, keeper: Keeper | None = None, known: Mapping[str, Json] = MappingProxyType({})
    ) -> None:
        """``keeper`` is used for what began in this process.

        A step's ``known`` outcome is recorded as that of its next try, which is not done.
        """
        self._known = dict(known)
        self._keeper = keeper if begun.get() else None
        self._serializer = JsonRecords()

    def reserve(self) -> StepReservation:
        return DBOS.reserve_step()

    async def record(
        self,
        name: str,
        body: Callable[[], Awaitable[Json]],
        place: StepReservation | None = None,
    ) -> Json:
        place = place or DBOS.reserve_step()
        outcomes: list[Json] = [self._known.pop(name)] if name in self._known else []

        async def recorded() -> Json:
            if not outcomes:
                outcomes.append(await body())
            return outcomes[0]

        async def ask() -> Json:
            place._used = False  # once more, where the database did not take it
            return await place.run_async({"name": name}, recorded)

        if self._keeper is not None:
            began_ms = time.time_ns() // 1_000_000
            outcome = await recorded()
            if await self._keeper.record(self._result(place, name, began_ms, outcome)):
                return outcome
        return await until_it_is_back(ask)

    def _result(self, place: StepReservation, name: str, began_ms: int, outcome: Json) -> Any:
        """As DBOS names it."""
        return {
            "workflow_uuid": DBOS.workflow_id,
            "function_id": place.step_id,
            "function_name": name,
            "started_at_epoch_ms": began_ms,
            "output": self._serializer.serialize(outcome),
            "error": None,
            "serialization": self._serializer.name(),
            "child_workflow_id": None,
        }
