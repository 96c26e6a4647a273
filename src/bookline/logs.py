"""Logs on stderr, as text for people or as JSON for machines, each line with its request and job.

Rule 1:  no key, token or reader's ISBN list belongs in a log: log job ids.
"""

import json
import logging
import sys
import time
from contextvars import ContextVar
from typing import Literal

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered; api/gate.py sets it."""
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)
"""Of the import that is at work; engine/job_run.py sets it."""

QUIET = ("dbos", "aiosqlite", "asyncio", "websockets", "uvicorn.access", "aiohttp.access")


class JsonLines(logging.Formatter):
    """One JSON object a line; ``request`` and ``job`` are there when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
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
        places = " ".join(f"{name} {value}" for name, value in _places().items())
        return super().formatMessage(record) + (f" [{places}]" if places else "")


def set_up_logs(level: str, form: Literal["text", "json"]) -> None:
    """Sets the root logger up; quiet libraries stay quiet."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in QUIET:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("dbos").handlers.clear()
    logging.getLogger("dbos").propagate = True


def _places() -> dict[str, str]:
    places = {"request": request_id.get(), "job": job_id.get()}
    return {name: value for name, value in places.items() if value is not None}
