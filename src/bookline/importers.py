"""Who runs imports, as the service and the queue see them.

Way:      imports.py, batches/ and engine/queue.py speak to these ports; engine/ and
          migration/legacy fill them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bookline.job import ImportInput, Job


class Engine(Protocol):
    """What runs imports, durably: the workflow's engine, or the legacy importer."""

    async def start(self, order: ImportInput, *, in_batch: bool = False) -> None:
        """Begins the import of a job that was opened. Safe twice. Raises: StoreDown.

        One of many, ``in_batch``, may do without the engine's records while all goes well.
        """
        ...

    async def restart(self, job_id: str) -> None:
        """Goes on at the step that failed; the results of the steps before it are kept.

        The job must be reopened before. Raises: StoreDown.
        """
        ...

    async def settle(self, job_id: str) -> None:
        """Waits until the end of a finished job is recorded, a few seconds at most.

        Raises: StoreDown when it is not.
        """
        ...

    def wake(self, job_id: str) -> None:
        """Lets a cancel take effect at once if the job waits for a retry in this process."""
        ...


class Queue(Protocol):
    """Where jobs wait until this process, or another, has room for them."""

    def reserve(self, job: Job) -> bool:
        """Whether the job may go to its engine at once: ``hand_over`` or ``release`` follows."""
        ...

    def release(self, job: Job) -> None:
        """The job does not go to its engine after all. Safe twice."""
        ...

    async def hand_over(self, job: Job) -> None:
        """A kept job of this node to its engine; one that is not taken now starts later."""
        ...

    def stir(self) -> None:
        """A job has been kept that waits."""
        ...


class Importer(Engine, Protocol):
    """An engine of this process."""

    @property
    def running(self) -> Sequence[str]:
        """Ids of the jobs that this process was given and has not ended."""
        ...


class OtherImporter(Importer, Protocol):
    """An importer that looks after its own jobs: after a restart, and after a dead process."""

    async def remove(self, job_ids: Sequence[str]) -> None:
        """Forgets finished jobs; ids that it does not know do no harm. Raises: StoreDown."""
        ...

    async def close(self) -> None:
        """Stops its jobs in good order; they go on after the next start."""
        ...

    async def sweep(self) -> int:
        """How many of its jobs were set going again. Called at start and each second."""
        ...
