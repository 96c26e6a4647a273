"""What a watcher may see and how the talk ends: the rules, without any I/O.

Way:     websocket.py and sse.py ask here, then follow the hub
Source:  docs/contract.md; RFC 6455 §7.4 for the closing codes.
"""

import json
import re
import time

from bookline.errors import Refused
from bookline.progress.batches import BATCH_PREFIX
from bookline.values import iso

DONE = 1000  # after the job's last event
GOING_AWAY = 1001  # this process stops; come back with ``after``
BAD_TOKEN = 1008
TOO_SLOW = 1013  # come back with ``after``
UNKNOWN_JOB = 4404
TOKEN_PROTOCOL = "bookline.token."  # noqa: S105 - the name of it, not one
SEND_SECONDS = 20.0  # a watcher that takes no byte for so long is cut

_SEQ = re.compile(r"\d{1,15}")


def read_after(text: str | None) -> int:
    """The ``seq`` that a watcher has seen last; 0 for none.

    Raises: Refused (INVALID_REQUEST) for anything but a whole number.
    """
    if text is None or text == "":
        return 0
    if not (text.isascii() and _SEQ.fullmatch(text)):
        raise Refused("INVALID_REQUEST", "after must be the seq of an event: 0, 1, 2, …")
    return int(text)


def read_last_event_id(text: str | None) -> int | None:
    """The same from the header that browsers send by themselves; None for anything odd."""
    try:
        return read_after(text) if text else None
    except Refused:
        return None


def find_token(protocols: list[str]) -> tuple[str | None, str | None]:
    """The token among the offered sub-protocols, and the protocol to answer with."""
    for protocol in protocols:
        if protocol.startswith(TOKEN_PROTOCOL):
            return protocol.removeprefix(TOKEN_PROTOCOL), protocol
    return None, None


def ping(stream_id: str) -> str:
    """A message that says only that we are there: no ``seq``, never replayed."""
    now = iso(time.time_ns() // 1_000_000)
    name = "batchId" if stream_id.startswith(BATCH_PREFIX) else "jobId"
    message = {"type": "ping", name: stream_id, "timestamp": now}
    return json.dumps(message, separators=(",", ":"))
