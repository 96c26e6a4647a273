"""SQLite's write-ahead log, taken into its file beside the event loop.

Rule 1:  a connection that writes in the event loop never does this: a checkpoint waits for the
         disk, and so does the first write behind one.
Source:  https://sqlite.org/wal.html#performance_considerations
"""

import sqlite3

NO_CHECKPOINTS = "PRAGMA wal_autocheckpoint=0"
"""For a connection that writes in the event loop."""
CHECKPOINT_WRITES = 500  # our choice: some 2,500 pages, 10 MB


def checkpoint(connection: sqlite3.Connection) -> None:
    """Waits for the disk, and for nobody who reads or writes. Raises: sqlite3.Error."""
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.execute(f"PRAGMA user_version={version}")  # the log begins anew here, not elsewhere
