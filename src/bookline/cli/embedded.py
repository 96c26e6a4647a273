"""The client of a Bookline that runs in this very process, over the same DATA_DIR.

Way:      a command → here → app.py
Rule 1:   what is not finished when the command ends goes on at the next start: nothing is lost.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Unpack

from bookline.api import bodies
from bookline.app import App, running
from bookline.cli.embedded_batches import EmbeddedBatches, follow_stream
from bookline.client import BookFilter, RolloutChange
from bookline.edits import read_edit
from bookline.imports import Order
from bookline.logs import set_up_logs
from bookline.ports import BookQuery
from bookline.settings import Settings
from bookline.shelves.writing import export_lines, read_form
from bookline.values import Json


@asynccontextmanager
async def embedded(settings: Settings) -> AsyncIterator["EmbeddedClient"]:
    """A client of a Bookline that lives as long as the block.

    Raises: Refused for settings that cannot be met, StoreDown.
    """
    quiet_logs(settings)
    async with running(settings) as app:
        yield EmbeddedClient(app)


def quiet_logs(settings: Settings) -> None:
    """What runs in a command logs its warnings: its story is on the screen already."""
    level = settings.log_level if settings.log_level in {"debug", "error"} else "warning"
    set_up_logs(level, settings.log_format)


class EmbeddedClient(EmbeddedBatches):
    """Fills the port Client."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def start(self, isbn: str, source: str) -> Json:
        job, _is_new = await self._app.imports.start(Order(isbn=isbn, source=source), "workflow")
        return {"jobId": job.job_id, "isbn": job.order.isbn, "inputIsbn": job.order.input_isbn}

    async def follow(self, job_id: str) -> AsyncGenerator[Json, None]:
        await self._app.imports.find(job_id)
        async with aclosing(follow_stream(self._app.hub, job_id)) as messages:
            async for message in messages:
                yield message

    async def job(self, job_id: str) -> Json:
        return (await self._app.imports.find(job_id)).to_json()

    async def jobs(self, *, status: str | None, limit: int, cursor: str | None) -> Json:
        page = await self._app.imports.list(status=status, limit=limit, cursor=cursor)
        return {"items": [job.to_json() for job in page.items], "nextCursor": page.next_cursor}

    async def cancel(self, job_id: str) -> Json:
        return (await self._app.imports.cancel(job_id)).to_json()

    async def retry(self, job_id: str) -> Json:
        return (await self._app.imports.retry(job_id)).to_json()

    async def book(self, isbn: str) -> Json:
        return (await self._app.shelf.find(isbn)).to_json()

    async def books(self, *, limit: int, cursor: str | None, **query: Unpack[BookFilter]) -> Json:
        page = await self._app.shelf.list(BookQuery(**query), limit=limit, cursor=cursor)
        items = [book.to_json() for book in page.items]
        return {"items": items, "nextCursor": page.next_cursor, "total": page.total}

    async def search(self, text: str, *, limit: int) -> Json:
        hits = await self._app.shelf.search(text, limit)
        items = [
            {"book": hit.book.to_json(), "score": round(hit.score, 6), "match": hit.match}
            for hit in hits.items
        ]
        return {"items": items, "model": hits.model}

    async def edit(self, isbn: str, changes: Json) -> Json:
        return (await self._app.shelf.edit(isbn, read_edit(changes))).to_json()

    async def keep_cover(self, isbn: str, picture: bytes) -> Json:
        return (await self._app.shelf.keep_cover(isbn, picture)).to_json()

    async def delete(self, isbn: str) -> None:
        await self._app.shelf.delete(isbn)

    async def export(self, form: str) -> AsyncGenerator[bytes, None]:
        async with aclosing(export_lines(read_form(form), self._app.shelf.export())) as lines:
            async for line in lines:
                yield line.encode()

    async def rollout(self) -> Json:
        return await self._app.rollouts.describe()

    async def change_rollout(self, **changes: Unpack[RolloutChange]) -> Json:
        wanted = bodies.read_change({**changes}, "")
        await self._app.rollouts.change(wanted.change, wanted.actor, wanted.reason)
        return await self.rollout()

    async def advance_rollout(self, reason: str, *, actor: str) -> Json:
        wanted = bodies.read_reason({"reason": reason, "actor": actor}, "")
        await self._app.rollouts.advance(wanted.actor, wanted.reason)
        return await self.rollout()

    async def rollback_rollout(self, reason: str, *, actor: str) -> Json:
        wanted = bodies.read_reason({"reason": reason, "actor": actor}, "")
        await self._app.rollouts.rollback(wanted.actor, wanted.reason)
        return await self.rollout()

    async def import_metrics(self, window: str) -> Json:
        return await self._app.rollouts.metrics(window, bodies.read_window_ms(window))
