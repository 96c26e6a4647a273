"""From SQLite to PostgreSQL: what a deployment keeps, taken over while nothing runs.

Way:      the command ``move-database`` → here → stores/moving.py
"""

from collections.abc import Callable
from pathlib import Path

from bookline.api.keys import SECRET_FILE
from bookline.engine.locks import Locks
from bookline.errors import Refused
from bookline.folders import holds_databases
from bookline.methods import legacy_room
from bookline.settings import read_settings
from bookline.stores import journal_schema, library_schema
from bookline.stores.moving import move_tables
from bookline.stores.opening import open_storage, stores_in


async def move(source: str, target: str, say: Callable[[str], None]) -> dict[str, int]:
    """Table → its rows. Raises: Refused, StoreDown, BooklineNewer."""
    url = read_settings({"BOOKLINE_DATABASE_URL": target}, None).postgres_url
    if not source.startswith("sqlite:///") or not url:
        raise Refused("INVALID_REQUEST", "move from sqlite:///folder to postgresql://host/database")
    folder = Path(source.removeprefix("sqlite:///"))
    if not holds_databases(folder):
        raise Refused("NOT_FOUND", f"there is no Bookline's data in {folder}")
    nodes = Locks(folder / "nodes")
    if await nodes.living() - {nodes.node_id}:
        raise Refused("INVALID_STATE", f"a Bookline runs on {folder}: stop it first")
    old = legacy_room()
    stores = {
        "journal": journal_schema.MIGRATIONS,
        "library": library_schema.MIGRATIONS,
        **({"legacy": old.MIGRATIONS} if old is not None else {}),
    }
    moved = await move_tables(folder, url, stores, lambda table, rows: say(f"{table}: {rows}"))
    if (folder / SECRET_FILE).exists():
        await _take_secret_along(folder, url)
    return moved


async def _take_secret_along(folder: Path, url: str) -> None:
    """Tokens that were given out stay good."""
    storage = open_storage(url, folder)
    try:
        stores = stores_in(storage, storage.clock)
        await stores.secrets.keep("tokens", (folder / SECRET_FILE).read_text("utf-8").strip())
        stores.journal.close()
    finally:
        storage.close()
