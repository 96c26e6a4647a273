"""Logs on stderr, as text for people or as JSON for machines, each line with its request and job.

Rule 1:  no key, token or reader's ISBN list belongs in a log: log job ids.
"""

import json
import logging
import math
import sys
import time
from collections.abc import Callable, Hashable
from contextvars import ContextVar
from typing import Literal

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered; api/gate.py sets it."""
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)
"""Of the import that is at work; engine/job_run.py sets it."""

KINDS_MOST = 1_000  # kinds of trouble that are remembered before old ones are looked through
SELDOM_SECONDS = 60.0  # docs/contract.md: one line a minute
QUIET = ("dbos", "aiosqlite", "asyncio", "websockets", "uvicorn.access", "aiohttp.access")


class JsonLines(logging.Formatter):
    """One JSON object a line; ``request`` and ``job`` are there when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
            **_places(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class TextLines(logging.Formatter):
    """A line for people, with request and job in brackets behind it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        fields = "".join(
            f" {name}={value}" for name, value in _fields(record).items() if value is not None
        )
        places = " ".join(f"{name} {value}" for name, value in _places().items())
        return super().formatMessage(record) + fields + (f" [{places}]" if places else "")


def tell(logger: logging.Logger, message: str, **fields: str | int | None) -> None:
    """One line of news with its facts: ``name=value`` in text, fields of the object in JSON.

    A fact that is None is left out of the text, and null in JSON.
    """
    logger.info(message, extra={"fields": fields})


class Seldom:
    """Trouble that goes on is a line a minute for each kind of it. ``now`` counts seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._told: dict[Hashable, tuple[float, int]] = {}

    def turn(self, kind: Hashable) -> int | None:
        """How many were left out since the last line; None when it is too soon for another."""
        told_at, left_out = self._told.get(kind, (-math.inf, 0))
        if self._now() - told_at < SELDOM_SECONDS:
            self._told[kind] = (told_at, left_out + 1)
            return None
        self._forget()
        self._told[kind] = (self._now(), 0)
        return left_out

    def _forget(self) -> None:
        if len(self._told) >= KINDS_MOST:
            since = self._now() - SELDOM_SECONDS
            self._told = {kind: told for kind, told in self._told.items() if told[0] > since}


seldom = Seldom()
"""For the whole process."""


class NoRepeats(logging.Filter):
    """Lets a warning that says the same again through once a minute, and says how often it was."""

    def __init__(self, seldom: Seldom | None = None) -> None:
        super().__init__()
        self._seldom = seldom or Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        text = record.getMessage()
        left_out = self._seldom.turn((record.name, record.levelno, text))
        if left_out:
            record.msg, record.args = f"{text} ({left_out} times more in the last minute)", ()
        return left_out is not None


def set_up_logs(level: str, form: Literal["text", "json"]) -> None:
    """Sets the root logger up; quiet libraries stay quiet."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(NoRepeats())
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    logging.getLogger("dbos").handlers.clear()
    logging.getLogger("dbos").propagate = True


def _fields(record: logging.LogRecord) -> dict[str, str | int | None]:
    fields: dict[str, str | int | None] = getattr(record, "fields", {})
    return fields


def _places() -> dict[str, str]:
    places = {"request": request_id.get(), "job": job_id.get()}
    return {name: value for name, value in places.items() if value is not None}
