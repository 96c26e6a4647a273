"""Which requests count against which limit, and what their answers say of it.

Way:      gate.py → here → caller_limits.py
Rule 1:   a start that is refused costs nothing of the start limit, and is one line in the log.
Source:   draft-ietf-httpapi-ratelimit-headers for RateLimit-*.
"""

import logging
import math
from urllib.parse import parse_qsl

from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response
from starlette.types import Scope

from bookline.api.envelope import failure
from bookline.api.route_table import RouteRule
from bookline.caller_limits import CallerLimits
from bookline.limits import Turn
from bookline.logs import seldom, tell
from bookline.setting_values import Rate
from bookline.settings import Settings

log = logging.getLogger(__name__)

# Not limited: probes, scrapes, the page's own files, and covers, of which a shelf shows hundreds.
UNLIMITED = ("/healthz", "/readyz", "/metrics", "/page/", "/v2/covers/")
STARTS = frozenset(
    {"/v2/import", "/v2/import/workflow", "/v2/import/batch", "/v2/import/file", "/v1/jobs"}
)
_YES_OR_NO = TypeAdapter(bool)
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
        if rate is None or self.limits is None or path == "/" or path.startswith(UNLIMITED):
            return None
        rule: RouteRule | None = scope["state"]["rule"]
        bucket = "start" if is_start else rule.path if rule is not None else "none"
        key = f"{scope['state']['caller']}:{scope['method']}:{bucket}"
        take = self.limits.take if is_start else self.limits.take_lightly
        turn = await take(key, rate.count, rate.seconds)
        extra |= _rate_headers(rate, turn)
        if turn.is_allowed:
            scope["state"]["start_turn"] = key if is_start else None
            return None
        seconds = math.ceil(turn.wait_seconds)
        return failure(
            scope,
            "RATE_LIMIT_EXCEEDED",
            f"{rate.count} in {rate.seconds:g} s are allowed; try again in {seconds} s",
            headers={"Retry-After": str(seconds)},
        )

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
    return scope["method"] == "POST" and scope["path"] in STARTS and not _is_preview(scope)


def _is_preview(scope: Scope) -> bool:
    """As the route itself reads it: the last one counts, and there are many words for yes."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    try:
        return _YES_OR_NO.validate_python(query.get("preview", "no"))
    except ValidationError:
        return False


def _rate_headers(rate: Rate, turn: Turn) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(rate.count),
        "RateLimit-Remaining": str(turn.remaining),
        "RateLimit-Reset": str(math.ceil(turn.reset_seconds)),
    }
