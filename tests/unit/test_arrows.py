"""The arrows of the way of an import: which part may import which, and who may use which library.

Rule 1:  a table says what is allowed. A new arrow is a decision: make it here first.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bookline

ROOT = Path(bookline.__file__).parent
CORE = {
    "errors",
    "isbn",
    "values",
    "book",
    "languages",
    "job",
    "retries",
    "placeholders",
    "reading",
    "merging",
    "aside",
    "progress.events",
    "progress.records",
    "progress.journal",
    "progress.rules",
    "progress.batches",
    "ports",
    "catalogue",
    "importers",
    "limits",
    "time_limit",
    "patience",
    "together",
}
"""Standard library only, known to all."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "time_limit": set(),
    "patience": {"errors", "time_limit"},
    "together": {"errors", "time_limit"},
    "threads": set(),
    "logs": set(),
    "observing": set(),
    "tasks": {"logs"},
    "webhooks": CORE | {"logs"},
    "readiness": {"errors", "threads", "values"},
    "isbn": {"errors"},
    "values": set(),
    "retries": set(),
    "book": {"errors", "reading", "values"},
    "placeholders": set(),
    "merging": {"book", "placeholders"},
    "aside": {"book", "errors", "ports", "values"},
    "job": {"book", "values"},
    "progress.events": {"job", "values"},
    "progress.records": {"job", "progress.events", "values"},
    "progress.journal": {"job", "progress.events", "progress.records", "values"},
    "progress.rules": CORE,
    "progress.batches": {"job", "values"},
    "catalogue": {"book", "ports", "reading", "values"},
    "importers": {"job"},
    "limits": set(),
    "ports": {"isbn", "book", "job", "progress.batches", "reading", "retries", "values", "errors"},
    "folders": {"errors"},
    "rates": set(),
    "setting_values": {"rates"},
    "usable_sources": set(),
    "settings": {"errors", "folders", "rates", "setting_values", "usable_sources"},
    "clocks": set(),
    "reading": {"errors"},
    "languages": set(),
    "edits": {"book", "errors", "languages", "reading", "values"},
    "shelf": CORE | {"edits"},
    "shelves": {"book", "errors", "isbn", "reading"},
    "circuit": set(),
    "measures": {"circuit"},
    "caller_limits": CORE,
    "traces": {"observing"},
    "workflow": CORE,
    "steps": CORE,
    "providers": CORE,
    "imports": CORE | {"logs"},
    "batches": CORE
    | {
        "imports",
        "logs",
        "providers",
        "reading",
        "shelves",
        "stores.batches",
        "threads",
        "workflow",
    },
    "progress": CORE,
    "live": CORE | {"progress"},
    "net": CORE | {"circuit", "engine.places", "rates", "providers.answers"},  # Retry-After
    "stores": CORE | {"clocks", "migration.rollout_log", "threads", "progress", "webhooks"},
    "embedders": CORE | {"threads", "providers.answers"},
    "engine": CORE | {"workflow", "stores.drain"},
    "engine.spending": set(),
    "engine.places": set(),
    "engine.passing_on": {"patience"},
    "engine.outbox": {"progress.events"},
    "engine.tries": CORE | {"engine.spending"},
    "engine.world": CORE | {"engine.places", "engine.tries", "observing"},
    "engine.job_run": CORE
    | {
        "engine.world",
        "workflow",
        "engine.outbox",
        "engine.places",
        "engine.spending",
        "engine.tries",
        "logs",
        "observing",
    },
    "engine.memory": CORE | {"workflow", "engine.job_run", "engine.world"},
    "engine.dbos": CORE
    | {
        "workflow",
        "engine.job_run",
        "engine.world",
        "engine.passing_on",
        "engine.places",
        "engine.straight",
        "engine.dbos_known",
        "engine.dbos_statements",
        "engine.dbos_database",
        "engine.dbos_at_once",
        "engine.dbos_together",
        "engine.dbos_records",
    },
    "engine.straight": CORE
    | {"workflow", "engine.job_run", "engine.places", "engine.tries", "engine.world", "logs"},
    "engine.dbos_database": {"errors", "stores.postgres_session"},
    "engine.leases": CORE | {"clocks", "stores.database", "stores.postgres_session"},
    "engine.dbos_known": set(),
    "engine.dbos_statements": {"engine.dbos_known"},
    "engine.dbos_records": {"engine.dbos_at_once", "errors", "patience", "values"},
    "engine.dbos_together": {"stores.postgres_lanes", "threads"},
    "engine.dbos_at_once": {
        "engine.dbos_database",
        "engine.dbos_statements",
        "errors",
        "stores.write_ahead_log",
        "threads",
    },
    "api": CORE
    | {
        "app",
        "caller_limits",
        "batches",
        "clocks",
        "edits",
        "folders",
        "imports",
        "live",
        "logs",
        "migration",
        "measures",
        "methods",
        "progress",
        "rates",
        "setting_values",
        "settings",
        "shelf",
        "shelves",
        "threads",
    },
    "migration": CORE,
    "migration.legacy": CORE
    | {
        "workflow",
        "imports",
        "engine.job_run",
        "engine.world",
        "engine.outbox",
        "engine.places",
        "engine.spending",
        "logs",
        "stores.database",
        "stores.sqlite",
        "stores.upkeep",
        "traces",
    },
    "page": set(),
    "client": {"errors", "job", "progress.events", "values"},
    # of a server: it knows nothing of how one is made
}
"""Part → parts that it may import, besides itself. ``app`` and ``cli`` join all."""

MAY_USE: dict[str, set[str]] = {
    "dbos": {
        "engine.dbos",
        "engine.dbos_at_once",
        "engine.dbos_known",
        "engine.dbos_records",
        "engine.dbos_statements",
        "engine.dbos_together",
    },
    "sqlalchemy": {"engine.dbos", "engine.dbos_database", "engine.dbos_statements"},
    "aiohttp": {"net", "cli", "client"},
    "obstore": {"stores"},
    "psycopg": {"stores"},
    "redis": {"stores"},
    "sqlite3": {
        "stores.brief_writes",
        "stores.sqlite",
        "stores.sqlite_session",
        "stores.write_ahead_log",
        "engine.dbos_at_once",
        "engine.dbos_statements",
        "cli",
    },
    "wordllama": set(),  # its weights only, by embedders
    "tokenizers": {"embedders"},
    "PIL": {"net"},
    "fastapi": {"api"},
    "starlette": {"api", "live", "cli"},
    "uvicorn": {"api", "cli"},
    "prometheus_client": {"measures"},
    "opentelemetry": {"traces"},
    "pydantic": {"api", "settings", "setting_values"},
    "dotenv": {"settings"},
    "platformdirs": {"settings"},
    "typer": {"cli"},
    "rich": {"cli"},
    "matplotlib": {"cli"},
}
"""Library → the parts that may know it. Not in a Cloudflare Worker: none of these."""

IN_THE_WORKER = {*CORE, "workflow", "steps", "providers", "engine.spending", "engine.tries"}
JOINS_ALL = {"app", "cli"}
APP_PARTS = {"checks", "methods", "resources", "sources"}
"""What app.py joins in portions: they name products as it does."""
ENTRIES = {"api", "cli", "__main__"}


def modules() -> Iterator[tuple[str, set[str]]]:
    """Each module below ``bookline`` with the full names that it imports, anywhere in it."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        yield name, set(imported(ast.parse(path.read_text())))


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


MODULES = dict(modules())


def ours(names: set[str]) -> set[str]:
    """The modules below ``bookline``; a package only where nothing in it is meant."""
    inner = {name.removeprefix("bookline.") for name in names} & set(MODULES)
    return {name for name in inner if not any(is_in(one, name) for one in inner - {name})}


def is_in(module: str, part: str) -> bool:
    return module == part or module.startswith(f"{part}.")


def part_of(module: str) -> str | None:
    """The most exact line of the table that speaks of a module."""
    fits = [part for part in MAY_IMPORT if is_in(module, part)]
    return max(fits, key=len) if fits else None


@pytest.mark.parametrize("module", [name for name in MODULES if part_of(name)])
def test_a_module_imports_only_what_its_part_may(module: str) -> None:
    part = part_of(module)
    assert part is not None
    allowed = MAY_IMPORT[part] | {part}

    strangers = {
        name for name in ours(MODULES[module]) if not any(is_in(name, one) for one in allowed)
    }

    assert strangers == set()


def test_every_part_stands_in_the_table() -> None:
    missing = {name for name in MODULES if name and part_of(name) is None}

    assert {name.split(".")[0] for name in missing} <= (
        JOINS_ALL | APP_PARTS | {"__main__", "migration"}
    )


@pytest.mark.parametrize("library", MAY_USE)
def test_a_library_is_known_only_where_it_may(library: str) -> None:
    users = {
        name
        for name, names in MODULES.items()
        if any(is_in(one, library) for one in names)
        and not any(is_in(name, part) for part in MAY_USE[library])
    }

    assert users == set()


@pytest.mark.parametrize("part", sorted(IN_THE_WORKER))
def test_what_runs_in_the_worker_needs_the_standard_library_alone(part: str) -> None:
    libraries = {
        one.split(".")[0] for name, names in MODULES.items() if is_in(name, part) for one in names
    }

    assert libraries - {"bookline"} <= sys.stdlib_module_names
    for name, names in MODULES.items():
        if is_in(name, part):
            for one in ours(names):
                assert any(is_in(one, known) for known in IN_THE_WORKER), f"{name} → {one}"


def test_nobody_imports_the_app_but_the_entries() -> None:
    joining = {"app", *APP_PARTS}
    users = {name.split(".")[0] for name, names in MODULES.items() if joining & ours(names)}

    assert users <= ENTRIES | joining
    assert {name.split(".")[0] for name, names in MODULES.items() if "app" in ours(names)} <= (
        ENTRIES
    )


def test_nobody_imports_the_sandbox_but_the_commands() -> None:
    users = {
        name.split(".")[0]
        for name, names in MODULES.items()
        if any(is_in(one, "bookline_sandbox") for one in names)
    }

    assert users <= {"cli"}


def test_nothing_goes_round_in_the_core() -> None:
    order = [
        "errors",
        "isbn",
        "values",
        "book",
        "job",
        "progress.events",
        "ports",
        "workflow",
        "steps",
    ]

    for place, module in enumerate(order):
        later = set(order[place + 1 :])
        for name, names in MODULES.items():
            if is_in(name, module):
                assert not {one for one in ours(names) if one in later}, name


def test_the_order_of_the_steps_knows_neither_clock_nor_chance() -> None:
    """A replay must take the same way: all else is a step's, whose outcome is recorded."""
    tree = ast.parse((ROOT / "workflow.py").read_text())
    standard = {name.split(".")[0] for name in imported(tree)} - {"bookline"}
    of_asyncio = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "asyncio"
    }

    assert standard == {"asyncio", "collections", "dataclasses", "functools"}
    assert of_asyncio == {"Event", "FIRST_EXCEPTION", "ensure_future", "gather", "wait"}


def test_nobody_takes_the_engines_threads() -> None:
    """DBOS makes its one thread the loop's default: what waits there holds up every import."""
    source = Path(bookline.__file__).parent
    users = {
        path.relative_to(source).parts[0]
        for path in source.rglob("*.py")
        if "asyncio.to_thread(" in path.read_text("utf-8")
    }

    assert users == set()
