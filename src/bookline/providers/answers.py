"""What an HTTP answer means: fine, no such book, slow down, down, wrong key, or refused.

Way:      google_books.py, open_library.py, isbndb.py → here → errors.py
Rule 1:   nothing that a provider wrote, and no address, stands in a message: both may hold a key.
Source:   RFC 9110 §10.2.3 (Retry-After); the recordings of error answers that the sandbox replays.
"""

import json
import math
import re
import time
from datetime import UTC
from http import HTTPStatus
from typing import Final

from bookline.errors import (
    BookNotFound,
    ProviderDown,
    ProviderRefused,
    SlowDown,
    WrongKey,
)
from bookline.ports import Answer
from bookline.values import Json

DEEPEST: Final = 64  # our choice; the deepest answer seen has 9 levels
LONGEST_NUMBER_CHARS: Final = 30  # our choice
_BRACKET_OR_TEXT: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
DAY_SECONDS: Final = 86_400.0
LONGEST_WAIT_SECONDS: Final = DAY_SECONDS  # our choice; no quota is counted over more than a day
_SECONDS: Final = re.compile(r"\s*-?[0-9]{1,20}(?:\.[0-9]{1,20})?\s*", re.ASCII)
_LATER: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
_KEY: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_GONE: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


def check(provider: str, answer: Answer, *, advice: str) -> None:
    """Returns when the answer holds what was asked for. ``provider`` is its name for people,
    ``advice`` what to do when it refuses us.

    Raises: BookNotFound (404 and 410, unless a web page says so: that is a wrong address),
    WrongKey (401, 403), SlowDown (429), ProviderDown (408, 425, 5xx), ProviderRefused (the rest).
    """
    status = answer.status
    if 200 <= status < 300:
        return
    said = f"{provider} answered {status}"
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        raise SlowDown(f"{said}: it is rate limiting us", None, read_retry_after(answer))
    if status >= 500 or status in _LATER:
        raise ProviderDown(said, None, read_retry_after(answer))
    if status in _KEY:
        raise WrongKey(f"{said}: {advice}")
    if status in _GONE and not _is_page(answer):
        raise BookNotFound(f"{provider} does not know this book")
    if status in _GONE or 300 <= status < 400:
        raise ProviderRefused(f"{said}: is its URL in the configuration right?")
    raise ProviderRefused(f"{said}: it refuses the question")


def read_json(provider: str, answer: Answer) -> Json:
    """The JSON object of the body. What is no number (NaN, 1e999, a thousand digits) is None in it.

    Raises: ProviderDown for a web page, a cut body, another type, or nesting that is too deep.
    """
    try:
        text = answer.body.decode(json.detect_encoding(answer.body))
        _refuse_depth(text)
        value = json.loads(
            text, parse_constant=_no_number, parse_int=_read_int, parse_float=_read_float
        )
    except (ValueError, RecursionError) as error:
        kind = "a web page" if _is_page(answer) else "something unreadable"
        raise ProviderDown(f"{provider} answered with {kind} instead of JSON") from error
    if not isinstance(value, dict):
        raise ProviderDown(f"{provider} answered with JSON that is no object")
    return value


def _refuse_depth(text: str) -> None:
    """Counted before parsing: a parser without its own limit would bring its process down.

    Raises: ValueError.
    """
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for found in _BRACKET_OR_TEXT.finditer(text):
        sign = found[0]
        if sign in "[{":
            depth += 1
            if depth > DEEPEST:
                raise ValueError("nested too deeply")
        elif sign in "]}":
            depth -= 1


def _no_number(_: str) -> None:
    return None


def _read_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_NUMBER_CHARS else None


def _read_float(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def read_retry_after(answer: Answer) -> float | None:
    """Seconds to wait, when the answer says so: from 0 to a day.

    A date is compared with the answer's own ``Date``, so that a wrong clock here does no harm.
    """
    text = answer.headers.get("retry-after")
    if not text:
        return None
    if _SECONDS.fullmatch(text):
        return _capped(float(text))
    until = _read_date(text)
    if until is None:
        return None
    return _capped(until - answered_at(answer))


def answered_at(answer: Answer) -> float:
    """Epoch seconds: by the answer's own ``Date``, else by our clock."""
    date = _read_date(answer.headers.get("date"))
    return time.time() if date is None else date


def _capped(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _read_date(text: str | None) -> float | None:
    """Epoch seconds of an HTTP date; one without a zone is taken as UTC."""
    if not text or len(text) > 64:
        return None
    from email.utils import parsedate_to_datetime  # takes a while where there is no byte code

    try:
        at = parsedate_to_datetime(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _is_page(answer: Answer) -> bool:
    return answer.body[:100].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
