"""Secrets that all nodes of a deployment share, among the journal's tables."""

from bookline.stores.database import Database, Session


class SqlSecrets:
    """The table ``secrets``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, name: str, value: str) -> str:
        """The first that was kept under this name, by whichever node. Raises: StoreDown."""

        def work(session: Session) -> str:
            session.execute(
                """INSERT INTO secrets (name, value) VALUES (:name, :value)
                   ON CONFLICT (name) DO NOTHING""",
                {"name": name, "value": value},
            )
            [row] = session.execute("SELECT value FROM secrets WHERE name = :name", {"name": name})
            return str(row["value"])

        return await self._database.write(work, f"secret {name}")
