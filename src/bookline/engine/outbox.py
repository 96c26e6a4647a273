"""News of one job on its way into the journal: in order, and until it is kept.

Way:      job_run.py and the legacy importer tell here → the journal
Rule 1:   news rides with the job's next mark or end where that follows at once, in its transaction;
          nothing is sent beside it meanwhile.
Rule 2:   what the journal refuses is told again. The same news twice is one event, so it may be on
          its way twice.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

from bookline.progress.events import News

RIDE_SECONDS = 0.003  # our choice: so long news waits for a mark to ride with
RIDE_OF_MANY_SECONDS = 0.05  # our choice: where many imports are at work, the mark takes longer
AGAIN_SECONDS = 0.5  # our choice: when the journal refused it

Send = Callable[[Sequence[News]], "Future[None]"]


class Outbox:
    """``send`` begins to keep news, and says when it is kept."""

    def __init__(self, send: Send, ride_seconds: float = RIDE_SECONDS) -> None:
        self._send: Send | None = send
        """None once it is closed: as a method of who has us it would be a circle."""
        self._ride_seconds = ride_seconds
        self._news: list[News] = []
        self._is_sending = False
        self._riding = 0
        """Marks that are on their way with what was waiting."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> Sequence[News]:
        """What is not known to be kept: to ride with a mark or the end."""
        return tuple(self._news)

    def tell(self, news: News) -> None:
        """Never fails. Kept soon, in the order of the calls."""
        self._news.append(news)
        self._send_in(self._ride_seconds)

    def send_now(self) -> None:
        """What nothing follows is not held back."""
        self._send_in(0.0)

    @contextmanager
    def riding(self) -> Iterator[Sequence[News]]:
        """What is waiting, for a mark that carries it: it is kept if the block ends well."""
        news = self.waiting
        self._riding += 1
        try:
            yield news
            self._kept(news)
        finally:
            self._riding -= 1
            if self._news and self._send is not None:
                self._send_in(self._ride_seconds)

    def close(self) -> None:
        """Nothing more is sent: the job is over, or another execution tells it."""
        self._send = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _send_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds > 0:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        if self._send is None or self._is_sending or self._riding or not self._news:
            return
        self._is_sending = True
        sent = self.waiting
        done = self._send(sent)
        if done.done():
            self._answered(sent, done)
        else:
            later = asyncio.wrap_future(done)
            later.add_done_callback(lambda future: self._answered(sent, future))

    def _answered(
        self, sent: Sequence[News], answer: "asyncio.Future[None] | Future[None]"
    ) -> None:
        self._is_sending = False
        if answer.cancelled() or answer.exception() is not None:
            if self._send is not None:
                self._send_in(AGAIN_SECONDS)
            return
        self._kept(sent)
        self._begin()

    def _kept(self, news: Sequence[News]) -> None:
        self._news = [one for one in self._news if one not in news]
