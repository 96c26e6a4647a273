"""A deployment's tables from SQLite's files into PostgreSQL, row by row, each looked at again.

Way:      the command ``move-database`` → here
Rule 1:   nothing runs on either. A row that is there already is compared, not written: so it may be
          run again after whatever stopped it.
Not here: the engine's tables. What the journal has open begins again at its first step.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bookline.errors import Refused
from bookline.stores.database import Database, Migration, Row, Session
from bookline.stores.opening import Files, Server

ROWS = 500  # in one transaction
OF_PROCESSES = {"nodes", "moments"}  # they say who was alive, and mean nothing elsewhere
Tell = Callable[[str, int], None]
"""A table's name, and how many of its rows are there by now."""


async def move_tables(
    folder: Path, url: str, stores: Mapping[str, Sequence[Migration]], tell: Tell
) -> dict[str, int]:
    """Table → its rows, all of which are the same on both sides. ``stores`` gives their names.

    Raises: Refused where a row differs; StoreDown; BooklineNewer.
    """
    files, server = Files(folder), Server(url)
    moved: dict[str, int] = {}
    try:
        for name, migrations in stores.items():
            if not (folder / f"{name}.db").exists():
                continue
            source, target = files.tables(name, migrations), server.tables(name, migrations)
            try:
                for table in await source.read(_tables):
                    moved[table] = await _move(source, target, table, tell)
            finally:
                source.close()
                target.close()
    finally:
        server.close()
    return moved


def _tables(session: Session) -> Sequence[str]:
    rows = session.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    )
    return [row["name"] for row in rows if row["name"] not in OF_PROCESSES]


async def _move(source: Database, target: Database, table: str, tell: Tell) -> int:
    columns = await source.read(lambda s: s.execute(f"PRAGMA table_info({table})"))
    names = [column["name"] for column in columns]
    key = [one["name"] for one in sorted(columns, key=lambda one: one["pk"]) if one["pk"]]
    part = _Part(table, names, key)
    done = 0
    after: Row | None = None
    while rows := await source.read(part.reading(after)):
        await target.write(part.writing(rows))
        there = await target.read(part.reading(after))
        part.check(rows, there)
        done += len(rows)
        after = rows[-1]
        tell(table, done)
    await target.write(part.count_on)
    return done


class _Part:
    """The statements for one table, some rows at a time in the order of its key."""

    def __init__(self, table: str, names: Sequence[str], key: Sequence[str]) -> None:
        self._table = table
        self._names = names
        self._key = key

    def reading(self, after: Row | None) -> Callable[[Session], Sequence[Row]]:
        """The rows behind this one."""
        place = {f"after_{name}": after[name] for name in self._key} if after is not None else {}
        keys = ", ".join(self._key)
        behind = f"WHERE ({keys}) > ({', '.join(f':{name}' for name in place)})" if place else ""
        query = f"""SELECT {", ".join(self._names)} FROM {self._table} {behind}
                    ORDER BY {keys} LIMIT :rows"""
        return lambda session: session.execute(query, {**place, "rows": ROWS})

    def writing(self, rows: Sequence[Row]) -> Callable[[Session], None]:
        values = ", ".join(f":{name}" for name in self._names)
        query = f"""INSERT INTO {self._table} ({", ".join(self._names)}) VALUES ({values})
                    ON CONFLICT DO NOTHING"""

        def work(session: Session) -> None:
            for row in rows:
                session.execute(query, self._values(row))

        return work

    def check(self, rows: Sequence[Row], there: Sequence[Row]) -> None:
        """Raises: Refused where they are not the same."""
        for row, copy in zip(rows, [*there, *[None] * len(rows)], strict=False):
            if copy is None or self._values(row) != self._values(copy):
                place = ", ".join(f"{name} {row[name]}" for name in self._key)
                raise Refused(
                    "INVALID_STATE",
                    f"{self._table} differs there ({place}): the database has been used already. "
                    "Move into an empty one",
                )

    def count_on(self, session: Session) -> None:
        """Ids that are given from now on rise behind those that were moved."""
        if self._key == ["id"]:
            session.execute(
                f"""SELECT setval(pg_get_serial_sequence(:table, 'id'), max(id))
                    FROM {self._table} HAVING max(id) IS NOT NULL""",
                {"table": self._table},
            )

    def _values(self, row: Row) -> dict[str, object]:
        return {name: row[name] for name in self._names}
