"""The legacy importer's folder can be deleted: the rest passes its tests and says so plainly.

The whole suite runs that way by ``make test-without-legacy``; here what could miss the folder.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bookline_sandbox import Sandbox

pytest.importorskip("bookline.migration.legacy")

ROOT = Path(__file__).parents[2]
LEGACY = Path("src/bookline/migration/legacy")
ASIDE = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info", "bookline-data"
)
TESTS = (
    "tests/unit/test_arrows.py",
    "tests/unit/test_docs.py",
    "tests/unit/test_imports.py",
    "tests/unit/migration/test_rollouts.py",
    "tests/contracts/test_rollout_log.py",
    "tests/contracts/test_legacy_importer.py",
    "tests/journeys/test_moving_over.py",
    "tests/journeys/test_crash_legacy.py",
    "tests/journeys/test_legacy_call.py",
)
TESTS_SECONDS = 600
START_SECONDS = 120


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project without the folder."""
    made = tmp_path_factory.mktemp("without") / "bookline"
    shutil.copytree(ROOT, made, ignore=ASIDE)
    shutil.rmtree(made / LEGACY)
    return made


def environment(copy: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    return {**clean, "PYTHONPATH": str(copy / "src"), **more}


@pytest.mark.slow
def test_the_rest_passes_its_tests(copy: Path) -> None:
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly",
        *(name for name in TESTS if (copy / name).exists()),
    ]  # fmt: skip
    ran = subprocess.run(
        command, cwd=copy, env=environment(copy), capture_output=True, text=True,
        timeout=TESTS_SECONDS, check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout[-6_000:] + ran.stderr[-2_000:]


async def test_the_service_runs_on_and_refuses_legacy_plainly(copy: Path, tmp_path: Path) -> None:
    async with (
        Sandbox() as sandbox,
        served(copy, tmp_path, sandbox) as url,
        aiohttp.ClientSession() as client,
    ):

        async def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
            async with client.request(method, url + path, json=body) as answer:
                return answer.status, await answer.json()

        status, refused = await ask(
            "POST", "/v2/import", {"isbn": "9780451524935", "method": "legacy"}
        )
        assert (status, refused["error"]["code"]) == (400, "INVALID_REQUEST")
        assert "no legacy importer" in refused["error"]["message"]

        status, started = await ask("POST", "/v2/import", {"isbn": "9780451524935"})
        assert (status, started["data"]["method"]) == (202, "workflow")

        status, told = await ask("GET", "/v2/rollout")
        assert (status, told["data"]["hasLegacy"], told["data"]["percent"]) == (200, False, 100)

        status, refused = await ask("PUT", "/v2/rollout", {"percent": 50})
        assert (status, refused["error"]["code"]) == (409, "INVALID_STATE")

        status, refused = await ask("POST", "/v1/jobs", {"action": "status", "jobId": "x"})
        assert (status, refused["error"]["code"]) == (404, "NOT_FOUND")


@asynccontextmanager
async def served(copy: Path, folder: Path, sandbox: Sandbox) -> AsyncIterator[str]:
    """A server of the copy, at its address."""
    settings = {**sandbox.settings(), "BOOKLINE_DATA_DIR": str(folder / "data")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bookline", "serve", "--port", "0",
        cwd=folder, env=environment(copy, **settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield await _address(process)
    finally:
        process.terminate()
        await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(START_SECONDS):
        while line := (await process.stdout.readline()).decode():
            said += line
            if "ready at http" in line:
                return "http" + line.split("http", 1)[1].split()[0].rstrip("/")
    raise AssertionError(f"the server did not start:\n{said}")
