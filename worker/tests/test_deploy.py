"""What would be deployed: whole, small enough, and with the tables that the stores make."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from benching import NODE, WORKER

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


def test_nothing_is_copied() -> None:
    """``worker/`` holds adapters: no module of it has the text of one of ours."""
    ours = {path.read_text() for path in (WORKER.parent / "src").rglob("*.py")} - {""}
    theirs = [path for path in Path(WORKER / "src").rglob("*.py") if path.read_text() in ours]

    assert theirs == []
