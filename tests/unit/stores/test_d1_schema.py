"""The Worker's D1 has the tables that the stores make; here, where whoever changes them sees it."""

import subprocess
import sys
from pathlib import Path

WORKER = Path(__file__).parents[3] / "worker"


def test_d1_has_the_tables_that_the_stores_make() -> None:
    """Else: python worker/d1_schema.py, or a further file for a deployed one."""
    script = "import d1_schema; print(d1_schema.schema(), end='')"

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=WORKER, check=True, capture_output=True, text=True
    )

    assert (WORKER / "migrations" / "0001_bookline.sql").read_text() == done.stdout
