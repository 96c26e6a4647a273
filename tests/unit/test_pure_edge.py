"""What the Cloudflare Worker takes along needs the standard library alone."""

import subprocess
import sys

import pytest

PURE_EDGE = (
    "workflow",
    "steps.cover",
    "steps.embedding",
    "steps.joined",
    "steps.metadata",
    "steps.save",
    "providers.google_books",
    "providers.isbndb",
    "providers.open_library",
    "providers.title_search",
    "engine.tries",
    "imports",
    "api.answers",
    "api.bodies",
    "api.etags",
    "api.keys",
    "batches.covers",
    "batches.failed",
    "batches.feeder",
    "batches.files",
    "batches.look_ups",
    "api.origins",
    "embedders.vectors",
    "live.session",
    "migration.rollouts",
    "net.addresses",
    "net.cover_rules",
    "net.picture_headers",
    "observing",
    "shelf",
    "shelves.file",
    "shelves.preview",
    "shelves.writing",
    "stores.batches",
    "stores.drain",
    "stores.job_rows",
    "stores.journal",
    "stores.journal_schema",
)

SCRIPT = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top != "bookline":
            raise ModuleNotFoundError(f"{name} is not in the Worker", name=name)

sys.meta_path.insert(0, Blocked())
importlib.import_module("bookline." + sys.argv[1])
"""


@pytest.mark.parametrize("module", PURE_EDGE)
def test_what_the_worker_needs_is_imported_without_any_package(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, module],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
    )

    assert done.returncode == 0, done.stderr[-2_000:]
