"""What would be deployed: whole, small enough, and with the tables that the stores make."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benching import NODE, WORKER

sys.path.append(str(WORKER))
from slimming import slim

WRANGLER = WORKER / "node_modules" / "wrangler" / "bin" / "wrangler.js"
MOST_GZIP_KIB = 150


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What wrangler says without deploying; it needs no account and no network."""
    done = subprocess.run(
        [NODE, WRANGLER, "deploy", "--dry-run", "--outdir", tmp_path_factory.mktemp("out")],
        cwd=WORKER, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "WRANGLER_SEND_METRICS": "false", "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_worker_is_small_enough_to_start_quickly(dry_run: str) -> None:
    size = re.search(r"Total Upload: ([\d.]+) KiB / gzip: ([\d.]+) KiB", dry_run)

    assert size is not None
    print(size[0])
    assert float(size[2]) <= MOST_GZIP_KIB


@pytest.mark.parametrize(
    "binding",
    ["BOOK_IMPORT_WORKFLOW", "WEBSOCKET_DO", "JOB_STATE_MANAGER", "R2_BUCKET", "DB", "BOOK_CACHE",
     "METRICS_KV", "BOOK_VECTORS", "AI", "WORKFLOW_ROLLOUT_PERCENT"],
)  # fmt: skip
def test_the_bindings_have_the_plans_names(dry_run: str, binding: str) -> None:
    assert f"env.{binding} " in dry_run


def test_every_module_that_is_needed_goes_along(dry_run: str) -> None:
    """wrangler takes the folder as it is; nothing of another package lies in it."""
    laid = {path.name for path in (WORKER / "python_modules").iterdir() if path.is_dir()}

    assert {"bookline", "on_cloudflare", "workers"} <= laid
    assert not laid & {"starlette", "pydantic", "aiohttp", "PIL", "dbos"}


def test_no_name_is_missing_in_what_goes_along() -> None:
    """slimming.py takes imports away: none that something still uses."""
    modules = [WORKER / "python_modules" / name for name in ("bookline", "on_cloudflare")]
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-respect-gitignore"]

    done = subprocess.run(
        [*ruff, "--select", "F821", *modules], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


def test_a_module_goes_along_line_for_line() -> None:
    source = '''"""Words."""

from collections.abc import (
    Mapping,
    Sequence,
)
from dataclasses import dataclass


@dataclass
class Kept:
    """More words."""

    names: Sequence[str] = ()
    """Of the field."""


def first(kept: Kept, other: Mapping[str, int] | None = None) -> str | None:  # why
    """And more."""
    shown = kept.names[0] if kept.names else ""
    longest = max(
        len(name) for name in kept.names
    )
    return f"{shown :>3}" if longest else None
'''

    slimmed = slim(source)

    kept = {n: line.strip() for n, line in enumerate(slimmed.splitlines(), 1) if line.strip()}
    assert kept == {
        7: "from dataclasses import dataclass", 10: "@dataclass", 11: "class Kept:",
        14: "names:0=()",
        18: "def first(kept,other=None):",
        20: 'shown=kept.names[0]if kept.names else ""', 21: "a=max(",
        22: "len(b)for b in kept.names", 23: ")", 24: 'return f"{shown :>3}" if a else None',
    }  # fmt: skip
    scope: dict[str, Any] = {}
    exec(slimmed, scope)
    assert scope["first"](scope["Kept"](["a"])) == "  a"


@pytest.mark.parametrize(
    "function",
    [
        "def it():\n found = [name for name in rows]\n return found, name",
        "def it():\n def other():\n  name = 2\n  return name\n return other(), name",
        "def it(given=name):\n name = 2\n return given, name",
        "@kept\ndef it():\n kept = 2\n return kept",
        "def it():\n found = [id for id in rows]\n return found, id(rows) == id(found)",
        "class Own:\n def it(self, given=name):\n  name = 2\n  return given\nit = Own().it",
        "def it():\n name = 2\n return locals()",
        "def it():\n name = 2\n match {1: 2}:\n  case {**name}:\n   return name",
        "def it():\n name = 2\n def other():\n  nonlocal name\n  name += 1\n other()\n return name",
        "def it():\n if any((last := row) > 1 for row in rows):\n  return last",
        "def it():\n name = 2\n return f'{name=}', dict(name=name)",
    ],
)
def test_a_name_that_means_two_things_stays(function: str) -> None:
    """The module's or Python's own in one part of a function, a variable in another."""
    source = f"name = 1\nrows = [1, 2]\nkept = lambda one: one\n{function}\n"

    whole: dict[str, Any] = {}
    slimmed: dict[str, Any] = {}
    exec(source, whole)
    exec(slim(source), slimmed)

    assert slimmed["it"]() == whole["it"]()


def test_nothing_is_copied() -> None:
    """``worker/`` holds adapters: no module of it has the text of one of ours."""
    ours = {path.read_text() for path in (WORKER.parent / "src").rglob("*.py")} - {""}
    theirs = [path for path in Path(WORKER / "src").rglob("*.py") if path.read_text() in ours]

    assert theirs == []
