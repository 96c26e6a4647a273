"""What the journal that keeps some records says of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bookline.migration.rollouts import Rollouts
from bookline.progress.records import ImportRecord
from bookline.stores.database import Session
from bookline.stores.opening import stores_in_memory
from bookline.stores.records import keep_records

NOW_MS = 2_000_000_000_000


def summary_of(records: Sequence[ImportRecord], window: str) -> Any:
    """The public metrics of a journal with these records and no others."""

    async def ask() -> Any:
        stores = stores_in_memory(lambda: NOW_MS)

        def keep(db: Session) -> None:
            for number, record in enumerate(records):
                keep_records(db, [replace(record, record_id=str(number))])

        await stores.journal.database.write(keep)
        rollouts = Rollouts(
            stores.rollout, stores.journal, clock=lambda: NOW_MS, start_percent=100,
            has_legacy=True, deadline_ms=0,
        )  # fmt: skip
        told = await rollouts.metrics(window, NOW_MS)
        stores.journal.close()
        return told

    return asyncio.run(ask())
