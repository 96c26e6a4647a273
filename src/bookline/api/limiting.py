"""A server's limits: each request asked for, and its answer told of them.

Way:      gate.py → here → limit_rules.py, caller_limits.py
Rule 1:   a start that is refused costs nothing of the start limit, and is one line in the log.
"""

import logging
from urllib.parse import parse_qsl

from starlette.responses import Response
from starlette.types import Scope

from bookline.api import limit_rules
from bookline.api.envelope import failure
from bookline.api.route_table import RouteRule
from bookline.caller_limits import CallerLimits
from bookline.logs import seldom, tell
from bookline.settings import Settings

log = logging.getLogger(__name__)

COMMON = frozenset({"UNAUTHORIZED", "FORBIDDEN", "RATE_LIMIT_EXCEEDED"})
"""Refusals that come in floods: a line a minute for each says enough."""


class Limiting:
    """The limits of a server with these settings."""

    def __init__(self, settings: Settings) -> None:
        self._start = settings.rate_limit_start
        self._read = settings.rate_limit_read
        self.limits: CallerLimits | None = None
        """There once the application has started."""

    async def stop(self, scope: Scope, extra: dict[str, str]) -> Response | None:
        """An answer instead of the route's, or None; adds to the answer's headers."""
        path = scope["path"]
        is_start = _is_start(scope)
        rate = self._start if is_start else self._read
        if rate is None or self.limits is None or not limit_rules.is_limited(path):
            return None
        rule: RouteRule | None = scope["state"]["rule"]
        key = limit_rules.key_of(
            scope["state"]["caller"],
            scope["method"],
            None if rule is None else rule.path,
            starts=is_start,
        )
        take = self.limits.take if is_start else self.limits.take_lightly
        turn = await take(key, rate.count, rate.seconds)
        extra |= limit_rules.headers_of(rate, turn)
        if turn.is_allowed:
            scope["state"]["start_turn"] = key if is_start else None
            return None
        said, retry_after = limit_rules.refusal(rate, turn)
        headers = {"Retry-After": retry_after}
        return failure(scope, "RATE_LIMIT_EXCEEDED", said, headers=headers)

    def answered(self, scope: Scope, status: int) -> None:
        """The answer's status is known: a start that was refused did not count."""
        if status < 400 or not _is_start(scope):
            return
        key = scope["state"].get("start_turn")
        if key is not None and self._start is not None and self.limits is not None:
            self.limits.give_back(key, self._start.count, self._start.seconds)
        code = scope["state"].get("code")
        left_out = seldom.turn(("start", code)) if code in COMMON else 0
        if left_out is not None:
            tell(log, "a start was refused", code=code, more=left_out or None)


def _is_start(scope: Scope) -> bool:
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    return limit_rules.is_start(scope["method"], scope["path"], query)
