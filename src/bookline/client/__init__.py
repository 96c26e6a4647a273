"""The client of a server: starts imports, follows them through every break, asks the library.

Way:      a program, or the commands → here → the API
Rule 1:   it knows nothing of how a server is made, and needs aiohttp alone.
"""

from bookline.client.batches import BatchCalls
from bookline.client.connection import Notice, Unreachable
from bookline.client.events import (
    Event,
    Progress,
    Resumed,
    Retry,
    Unknown,
    Warned,
    read_event,
)
from bookline.client.imports import ImportCalls, Started
from bookline.client.library import BookFilter, LibraryCalls
from bookline.client.rollout import RolloutCalls, RolloutChange

__all__ = [
    "BookFilter",
    "BooklineClient",
    "Event",
    "Notice",
    "Progress",
    "Resumed",
    "Retry",
    "RolloutChange",
    "Started",
    "Unknown",
    "Unreachable",
    "Warned",
    "read_event",
]


class BooklineClient(ImportCalls, BatchCalls, LibraryCalls, RolloutCalls):
    """One server, asked with patience. Use it as ``async with``; its calls may run side by side.

    What is no event and no start is the API's ``data`` as it is. Every call may raise Refused
    (``code`` says why) and TryLater; Unreachable is the TryLater of a server that stays away.
    """
