"""The port Database: pieces of SQL work, each a transaction, on whatever product keeps the tables.

Way:     journal.py, library.py, limits.py, rollout.py → here ← sqlite.py (each product is one file)
Rule 1:  a piece of work is a plain function: SQLite's writer thread, a pool's threads and a Durable
         Object all call functions.
Rule 2:  one SQL for all products: ``:name`` for values, ``x IN :names`` for a list of them,
         ``RETURNING`` to learn what changed. What differs is translated by the driver.
Rule 3:  no error of a product leaves: StoreDown.
Rule 4:  work that reads what it then writes names a key (the job's id, the book's ISBN), or each of
         several: pieces of work with one key never run at the same time, on no node, and those
         that name only it keep their order. Without a key, only what one statement does by itself.
Rule 5:  work may be run again after a rollback: it starts afresh, and changes nothing outside.
"""

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bookline.errors import BooklineError

T = TypeVar("T")


class Row(Protocol):
    """One row: its columns by name."""

    def __getitem__(self, name: str, /) -> Any: ...


class Session(Protocol):
    """What a piece of work gets. Valid only within it."""

    def execute(self, sql: str, values: Mapping[str, object] = ..., /) -> Sequence[Row]:
        """All rows of the statement's answer; none for a statement without one."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Mapping[str, object]], /) -> None:
        """The statement, which has no lists and answers nothing, for each of the values in turn."""
        ...


Work = Callable[[Session], T]
Keys = str | Sequence[str]
"""One key, none (the empty text), or several."""
Script = str | Callable[[Session], None]
"""SQL statements, each ended by ``;`` at a line's end; or what takes Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerProduct:
    """A migration that only one product needs, or that each makes in its own way."""

    sqlite: Script = ""
    postgres: Script = ""


Migration = Script | PerProduct


class Database(Protocol):
    """Tables and their transactions. May be called from any event loop or thread."""

    async def write(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> T:
        """What ``work`` returns, after its commit. Work that raises leaves nothing behind.

        ``brief`` is work of a few rows, which a file takes in the event loop while nobody else
        writes: well under a millisecond.

        Raises: what of ours ``work`` raises; StoreDown when the product does not take it.
        """
        ...

    def write_soon(self, work: Work[T], key: Keys = "", *, brief: bool = False) -> "Future[T]":
        """The same without waiting: work of one key is done in the order of these calls."""
        ...

    async def read(self, work: Work[T]) -> T:
        """What ``work`` returns, beside the event loop: for lists. Raises: StoreDown, ours."""
        ...

    async def look_up(self, work: Work[T]) -> T:
        """The same for look-ups by key, which no list holds up."""
        ...

    def close(self) -> None:
        """Keeps what waits, then closes. Safe twice."""
        ...


class Neighbours(Protocol):
    """The other processes on the same tables: how they hear of what was written here."""

    @property
    def commits_in_order(self) -> bool:
        """Whether a row's rising id is also the order in which all see it."""
        ...

    def announce(self, names: Iterable[str]) -> None:
        """Tells them soon that there is news of these. May be lost."""
        ...

    def changes(self) -> AsyncGenerator[Collection[str] | None, None]:
        """What they announce, for ever; None where something may have been missed.

        Now and then nothing, where that has to be looked for: who is not interested any more
        closes it then.
        """
        ...


class SharedDatabase(Database, Neighbours, Protocol):
    """Tables that other processes have open, too."""


class BooklineNewer(BooklineError):
    """The tables were written by a newer Bookline."""

    def __init__(self, found: int, known: int) -> None:
        super().__init__(found, known)
        self.found = found
        self.known = known

    def __str__(self) -> str:
        return (
            f"the database has schema {self.found}, this Bookline knows {self.known}: "
            "run the newer Bookline, or restore a backup from before it"
        )


def run_script(
    session: Session, script: Script, translated: Callable[[str], str] = lambda sql: sql
) -> None:
    """Does what a migration says; ``translated`` turns its text into the product's own."""
    if callable(script):
        script(session)
        return
    for statement in filter(None, map(str.strip, script.split(";\n"))):
        session.execute(translated(statement))
