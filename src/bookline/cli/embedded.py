"""Bookline without a server: one that lives as long as a command, asked as any other.

Way:      a command → here → api/serving.py, bookline/client
Rule 1:   what is not finished when the command ends goes on at the next start: nothing is lost.
Rule 2:   it listens on loopback alone, at a free port, and nobody but this command has its key.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bookline.api.serving import serving
from bookline.client import BooklineClient, Notice
from bookline.logs import set_up_logs
from bookline.settings import Settings


@asynccontextmanager
async def embedded(settings: Settings, notice: Notice) -> AsyncIterator[BooklineClient]:
    """A client of a Bookline that lives as long as the block.

    Raises: Refused for settings that cannot be met, StoreDown.
    """
    quiet_logs(settings)
    key = secrets.token_urlsafe(32)
    own = settings.model_copy(
        update={
            "host": "127.0.0.1", "port": 0, "api_keys": (key,), "cors_origins": (),
            "rate_limit_start": None, "rate_limit_read": None,
        }
    )  # fmt: skip
    async with serving(own) as (_server, url), BooklineClient(url, key, notice=notice) as client:
        yield client


def quiet_logs(settings: Settings) -> None:
    """What runs in a command logs its warnings: its story is on the screen already."""
    level = settings.log_level if settings.log_level in {"debug", "error"} else "warning"
    set_up_logs(level, settings.log_format)
