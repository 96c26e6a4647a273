"""What an import that runs needs besides its job, the same for all of a process.

Way:      methods.py makes it → the engines and the legacy importer hand it to each run
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from bookline.engine.places import Places
from bookline.engine.tries import Policy
from bookline.observing import SILENT, Meter, OpenSpan, no_span
from bookline.ports import Steps
from bookline.progress.journal import Runs


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """``clock`` gives epoch milliseconds, ``chance`` 0 to 1."""

    runs: Runs
    steps: Steps
    policy: Policy
    node: str
    clock: Callable[[], int]
    places: Places
    """Imports that may be at work at once in this process."""
    chance: Callable[[], float] = random.random
    passed: Callable[[], float] = time.monotonic
    """Seconds since some moment: for what begins and ends in this process."""
    measures: Meter = SILENT
    span: OpenSpan = no_span
