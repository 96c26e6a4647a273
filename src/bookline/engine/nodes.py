"""The port Nodes: which processes of a deployment are alive.

Way:     app.py opens one; engine/recovery.py and the legacy importer ask ← locks.py, leases.py
"""

from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class Nodes(Protocol):
    """This process among the others, from ``open`` to ``close``."""

    @property
    def node_id(self) -> str:
        """New at each start."""
        ...

    def open(self) -> None:
        """From now on the others see this process. Raises: StoreDown."""
        ...

    def close(self) -> None:
        """The others know at once that it is gone."""
        ...

    async def run(self) -> None:
        """Until cancelled: keeps this process alive in the eyes of the others."""
        ...

    async def living(self) -> AbstractSet[str]:
        """Ids of the processes that are not known to be dead, this one included, as it is now.

        Who begins is among them before it takes anything. Raises: StoreDown.
        """
        ...

    def only_one(self, chore: str) -> AbstractAsyncContextManager[bool]:
        """True for the one process that is in this block; the others get False and skip."""
        ...
