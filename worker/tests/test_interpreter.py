"""The core's own tests under the Worker's interpreter, and how long its import takes there."""

import re
import subprocess
import sysconfig

from benching import NODE, WORKER

ROOT = WORKER.parent
RUN = (
    "tests/unit/batches/test_matching.py",
    "tests/unit/live/test_session.py",
    "tests/unit/migration/test_gates.py",
    "tests/unit/migration/test_rollout.py",
    "tests/unit/progress/test_events.py",
    "tests/unit/progress/test_records.py",
    "tests/unit/providers/test_answers.py",
    "tests/unit/providers/test_dates.py",
    "tests/unit/providers/test_every_provider.py",
    "tests/unit/providers/test_find_google_books.py",
    "tests/unit/providers/test_find_isbndb.py",
    "tests/unit/providers/test_find_open_library.py",
    "tests/unit/providers/test_names.py",
    "tests/unit/providers/test_pages.py",
    "tests/unit/providers/test_reading.py",
    "tests/unit/providers/test_text.py",
    "tests/unit/steps/test_cover.py",
    "tests/unit/steps/test_embedding.py",
    "tests/unit/steps/test_metadata.py",
    "tests/unit/test_errors.py",
    "tests/unit/test_isbn.py",
    "tests/unit/test_merging.py",
    "tests/unit/test_placeholders.py",
    "tests/unit/test_time_limit.py",
    "tests/unit/test_values.py",
    "tests/unit/test_workflow.py",
)
"""Not here, as they need what the Worker does not have:

* threads and files: stores on SQLite and DBOS, nodes, folders, retention, the sandbox, the shelves;
* packages: api/ (Starlette, pydantic), net/ (aiohttp, Pillow), cli/ (typer, rich);
* processes: journeys, and what reads the project's own sources.
"""


def test_the_cores_tests_pass_under_the_workers_interpreter() -> None:
    packages = sysconfig.get_path("purelib")

    done = subprocess.run(
        [NODE, WORKER / "bench" / "pytest.mjs", packages, *RUN],
        cwd=WORKER, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip

    counts = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-1_000:]
    assert counts is not None
    assert int(counts[1]) > 500
    print(done.stdout.splitlines()[-1])
