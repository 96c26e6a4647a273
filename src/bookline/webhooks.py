"""Posts the end of every job and batch to the operator's endpoint, until it is taken.

Way:      the end's transaction adds a row → here → the endpoint
Rule 1:   an end is posted at least once, those of one job in their order; ``webhook-id`` stays the
          same, so a receiver can tell.
Rule 2:   a slow or dead endpoint slows no import: nothing waits for it but its own rows.
Rule 3:   one process of a deployment posts; another takes over when it is gone.
Source:   https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import asyncio
import base64
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from bookline.errors import ProviderDown, StoreDown
from bookline.logs import seldom
from bookline.progress.events import Event
from bookline.values import iso

log = logging.getLogger(__name__)

SECRET_PREFIX = "whsec_"  # noqa: S105 - what the standard puts before one
DELAYS_SECONDS = (5, 30, 120, 300, 900, 1_800, 3_600)
"""After the n-th failure; then each hour."""
GIVE_UP_MS = 24 * 3_600_000  # docs/contract.md
FORGET_MS = 30 * 86_400_000  # our choice: nobody asks for them anew then
FORGET_EVERY_MS = 3_600_000
LOOK_SECONDS = 2.0  # how late an end may be that another process wrote
AT_ONCE = 8  # posts under way
MOST = 64  # rows of one look
GONE = 410

Post = Callable[[bytes, Mapping[str, str]], Awaitable[int]]
"""Body and headers → status. Raises: ProviderDown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """An end that is to be posted."""

    job_id: str
    """The job's or the batch's."""
    seq: int
    message: str
    """As watchers heard it."""
    since_ms: int
    """When it happened, or was asked for anew."""
    tries: int


class Outbox(Protocol):
    """What is still to be posted."""

    async def due(self, now_ms: int, beyond_ms: int, most: int) -> Sequence[Owed]:
        """Due ones, and those whose time is so far ahead that the clock was set back since."""
        ...

    async def done(self, owed: Owed) -> None: ...

    async def later(self, owed: Owed, due_ms: int) -> None: ...

    async def give_up(self, owed: Owed) -> None:
        """It is kept, and posted only when somebody asks for it (``again``)."""
        ...

    async def forget(self, before_ms: int) -> None: ...

    async def refused_since(self) -> int | None:
        """When the end happened that was put off last; None where nothing is put off."""
        ...

    async def waiting(self, most: int) -> int:
        """How many are still to be posted, counted up to ``most``."""
        ...


def read_secret(text: str) -> bytes:
    """The key of ``whsec_…`` (base64). Raises: ValueError."""
    return base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)


def sign(secret: bytes, message_id: str, seconds: int, body: bytes) -> str:
    """``v1,{signature}`` of what is posted."""
    signed = f"{message_id}.{seconds}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()


class Webhooks:
    """``clock`` gives epoch milliseconds, ``steady`` those by which something is old, ``scale``
    multiplies the delays.
    """

    def __init__(
        self,
        outbox: Outbox,
        post: Post,
        secret: bytes,
        *,
        only_one: Callable[[str], AbstractAsyncContextManager[bool]],
        clock: Callable[[], int],
        steady: Callable[[], int],
        scale: float = 1.0,
        count: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``count`` hears of each post: taken, refused or given_up."""
        self._count = count
        self._outbox = outbox
        self._post = post
        self._secret = secret
        self._only_one = only_one
        self._clock = clock
        self._steady = steady
        self._scale = scale
        self._forgot_ms = 0
        self._places = asyncio.Semaphore(AT_ONCE)
        self._is_stirred = asyncio.Event()

    def hear(self, events: Sequence[Event]) -> None:
        """An end is posted at once."""
        if any(event.is_terminal for event in events):
            self._is_stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._only_one("webhooks") as ours:
                    while ours and await self.round():
                        pass
            except StoreDown as error:
                if seldom.turn("webhooks wait") is not None:
                    log.warning("webhooks wait: %s", error)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._is_stirred.wait()
            except TimeoutError:
                pass
            self._is_stirred.clear()

    async def check(self) -> None:
        """Raises: StoreDown while the endpoint does not take what is posted, whoever posts it."""
        since_ms = await self._outbox.refused_since()
        if since_ms is not None:
            at = iso(since_ms)
            raise StoreDown(f"the endpoint does not take events, as one of {at}; see the log")

    async def round(self) -> int:
        """How many were posted or put off. Raises: StoreDown."""
        now = self._clock()
        if not 0 <= now - self._forgot_ms < FORGET_EVERY_MS:
            self._forgot_ms = now
            await self._outbox.forget(self._steady() - FORGET_MS)
        beyond_ms = now + int(DELAYS_SECONDS[-1] * 1000 * max(1.0, self._scale))
        owed = await self._outbox.due(now, beyond_ms, MOST)
        await asyncio.gather(*map(self._deliver, owed))
        return len(owed)

    async def _deliver(self, owed: Owed) -> None:
        async with self._places:
            fault = await self._try(owed)
        if fault is None:
            self._count("taken")
            await self._outbox.done(owed)
            return
        if seldom.turn("webhook") is not None:
            log.warning("the webhook endpoint took no event: %s", fault)
        if self._steady() - owed.since_ms >= GIVE_UP_MS:
            log.error("the end of %s was not taken for 24 h and is posted no more", owed.job_id)
            self._count("given_up")
            await self._outbox.give_up(owed)
            return
        self._count("refused")
        delay = DELAYS_SECONDS[min(owed.tries, len(DELAYS_SECONDS) - 1)] * self._scale
        await self._outbox.later(owed, self._clock() + int(delay * 1000))

    async def _try(self, owed: Owed) -> str | None:
        """None when it was taken, else why not."""
        body, seconds = owed.message.encode(), self._clock() // 1000
        message_id = f"{owed.job_id}.{owed.seq}"
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": sign(self._secret, message_id, seconds, body),
        }
        try:
            status = await self._post(body, headers)
        except ProviderDown as error:
            return str(error)
        return None if 200 <= status < 300 else f"HTTP {status}"
