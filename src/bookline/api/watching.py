"""Who may watch over a WebSocket, and where.

Way:      gate.py asks here, and goes to live/websocket.py
Rule 1:   it is no route: half of what a watcher took, for as long as it stayed, were the layers
          that FastAPI puts around a route.
"""

from collections.abc import Callable

from starlette.websockets import WebSocket

from bookline.api.keys import Keys, Tokens
from bookline.api.peers import know_peer
from bookline.api.route_table import RouteRule
from bookline.job import Job
from bookline.progress.batches import Batch

SOCKET = RouteRule(
    path="/ws/progress",
    methods=frozenset(),
    query_names=frozenset({"jobId", "batchId", "after", "token"}),
)


def may_watch(
    keys: Keys,
    tokens: Tokens,
    clock: Callable[[], int],
    socket: WebSocket,
    story: Job | Batch | None,
    stream_id: str,
    token: str | None,
) -> bool:
    """A given token must be right; without one, a key is needed where keys are set."""
    if token is not None:
        ids = (stream_id, story.batch_id if isinstance(story, Job) else None)
        may = any(one and tokens.opens(token, one, clock()) for one in ids)
    else:
        may = not keys or keys.match(socket.headers.get("authorization")) is not None
    if may and keys:
        know_peer(socket.scope)
    return may
