"""The port Nodes: which processes of a deployment are alive.

Way:     app.py opens one; engine/recovery.py and the legacy importer ask ← locks.py
"""

from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from typing import Protocol


class Nodes(Protocol):
    """This process among the others, from ``open`` to ``close``."""

    @property
    def node_id(self) -> str:
        """New at each start."""
        ...

    def open(self) -> None: ...

    def close(self) -> None: ...

    def living(self) -> AbstractSet[str]:
        """Ids of the processes that are alive, this one included."""
        ...

    def only_one(self, chore: str) -> AbstractContextManager[bool]:
        """True for the one process that is in this block; the others get False and skip."""
        ...
