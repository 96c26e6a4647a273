"""A real server that kills itself once, with SIGKILL, at a named place. Run as a child process.

Usage:   python crashing_server.py PORT STEP EDGE NTH [VERSION]
Rule 1:  the places are put around the real parts from outside: the program has no hook for it.
Rule 2:  a file in the data folder remembers that it has died, so that the next start runs on.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bookline import patience, workflow
from bookline.cli.serving import serve_until_told
from bookline.engine import dbos as engine
from bookline.engine import dbos_records, dbos_statements
from bookline.engine.job_run import JobRun
from bookline.methods import legacy_room
from bookline.progress.events import WORKFLOW_RETRY, News
from bookline.settings import read_settings
from bookline.steps.joined import AllSteps
from bookline.stores.brief_writes import BriefWrites
from bookline.stores.journal import SqlJournal
from bookline.stores.runs_together import RunsTogether

legacy = legacy_room()
METHODS = {
    "fetch-metadata": "fetch_metadata",
    "upload-cover": "upload_cover",
    "generate-embedding": "generate_embedding",
    "save-to-database": "save",
}


class Killer:
    """Dies at the n-th passing of its place, or is frozen there (SIGSTOP)."""

    def __init__(self, marker: Path, nth: int, how: signal.Signals = signal.SIGKILL) -> None:
        self._marker = marker
        self._left = nth
        self._how = how

    def pass_by(self) -> None:
        self._left -= 1
        if self._left == 0 and not self._marker.exists():
            self._marker.write_text("died")
            os.kill(os.getpid(), self._how)


def arm(step: str, edge: str, killer: Killer) -> None:
    """Puts the killer at the edge of the step."""
    if edge in {"before", "after"}:
        _around(AllSteps, METHODS[step], killer, before=edge == "before")
    elif edge == "recorded":
        _after_record(step, killer)
    elif edge == "told":
        _after_retry_is_told(killer)
    elif edge == "waiting":
        _in_wait(step, killer)
    elif edge in {"ending", "ended"}:
        _around(SqlJournal, "finish", killer, before=edge == "ending")
    elif edge in {"unopened", "opened"}:
        _around(SqlJournal, "open", killer, before=edge == "unopened")
        _around(SqlJournal, "reopen", killer, before=edge == "unopened")
    elif edge in {"unclaimed", "claimed"}:
        _around(SqlJournal, "claim", killer, before=edge == "unclaimed")
    elif edge in {"writing", "written"}:  # what many imports of a batch say together
        _around(RunsTogether, "_write", killer, before=edge == "writing")
    elif edge in {"removing", "removed"}:  # retention takes a finished job out of the engine's book
        _around(engine.DbosEngine, "remove", killer, before=edge == "removing")


def _around(owner: type, name: str, killer: Killer, *, before: bool) -> None:
    """Before the call, or after it, however it ends."""
    real = getattr(owner, name)

    async def dying(*args: Any, **kwargs: Any) -> Any:
        if before:
            killer.pass_by()
        try:
            return await real(*args, **kwargs)
        finally:
            if not before:
                killer.pass_by()

    setattr(owner, name, dying)


def _after_retry_is_told(killer: Killer) -> None:
    """The journal has kept the news of a failed try: alone, or in a mark."""
    real_tell, real_begin = SqlJournal.tell, SqlJournal.begin

    def look(news: Iterable[News]) -> None:
        if any(one.type == WORKFLOW_RETRY for one in news):
            killer.pass_by()

    def telling(self: Any, job_id: str, *news: News, **rest: Any) -> Any:
        kept = real_tell(self, job_id, *news, **rest)
        kept.add_done_callback(lambda _: look(news))
        return kept

    async def beginning(*args: Any, **kwargs: Any) -> Any:
        mark = await real_begin(*args, **kwargs)
        look(kwargs.get("news", ()))
        return mark

    SqlJournal.tell = telling  # type: ignore[method-assign]
    SqlJournal.begin = beginning  # type: ignore[method-assign]


def _after_record(step: str, killer: Killer) -> None:
    real = dbos_records.DbosRecords.record

    async def dying(self: Any, name: str, *rest: Any) -> Any:
        outcome = await real(self, name, *rest)
        if name == step:
            killer.pass_by()
        return outcome

    dbos_records.DbosRecords.record = dying  # type: ignore[method-assign, assignment]
    if legacy is not None:
        _after_row(step, killer)


def _after_row(step: str, killer: Killer) -> None:
    """The legacy importer has kept what the try gave, and told nobody yet."""
    told, retried = legacy.StateMachine._tell_done, legacy.StateMachine._tell_retry

    def dying(self: Any, at: Any) -> None:
        if at.name == step:
            killer.pass_by()
        told(self, at)

    def dying_again(self: Any) -> None:
        if step in self._job.retry_counts:
            killer.pass_by()
        retried(self)

    legacy.StateMachine._tell_done = dying
    legacy.StateMachine._tell_retry = dying_again


def _in_wait(step: str, killer: Killer) -> None:
    patience.STORE_SECONDS = 0.2  # so that a locked library comes to a retry wait at all
    real = JobRun._wait

    async def dying(self: JobRun, at: Any, *wait: int) -> None:
        if at.name == step:
            asyncio.get_running_loop().call_later(0.05, killer.pass_by)
        await real(self, at, *wait)

    JobRun._wait = dying  # type: ignore[method-assign, assignment]
    if legacy is not None:
        _in_legacy_wait(step, killer)


def _in_legacy_wait(step: str, killer: Killer) -> None:
    real = legacy.StateMachine._wait

    async def dying(self: Any) -> None:
        if step in self._job.retry_counts:
            asyncio.get_running_loop().call_later(0.05, killer.pass_by)
        await real(self)

    legacy.StateMachine._wait = dying


def leave_dbos_its_own_way() -> None:
    """Nothing is prepared, and nothing written from the event loop."""
    dbos_statements.prepare = lambda database: False
    BriefWrites.put = lambda self, item: False  # type: ignore[method-assign]


def raise_version(version: str) -> None:
    """As the next Bookline: other rules for new imports, today's for those that began by them."""
    workflow.OLDER = {**workflow.OLDER, workflow.VERSION: workflow.import_book}
    workflow.VERSION = version


def main() -> None:
    port, step, edge, nth = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
    settings = read_settings(env_file=None)
    if len(sys.argv) > 5:
        raise_version(sys.argv[5])
    if os.environ.get("ENGINE") == "own way":
        leave_dbos_its_own_way()
    if edge != "never":
        arm(step, edge, Killer(settings.data_dir / "died", nth))
    asyncio.run(serve_until_told(settings.model_copy(update={"port": port})))


if __name__ == "__main__":
    main()
