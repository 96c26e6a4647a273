"""Questions that come at the same time, asked as one.

Way:      providers/, embedders/ → here, for the imports of batches: they let single ones go first
Rule 1:   who asks gets an answer or an error of its own. Where the many cannot be asked together
          (a broken or huge answer, one among them that the other side stumbles over), each is
          asked alone; only what holds for all of them (slow down, a wrong key) is told to all.
Rule 2:   one question is under way at a time; who comes meanwhile is part of the next. So the
          scarcer the turns are, the more is asked in each.
Rule 3:   a question is nobody's in particular: the limits and waits of those who ask are not its
          own.
Rule 4:   standard library only: the Cloudflare Worker runs this file as it is.
Units:    seconds.
"""

import asyncio
import copy
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from bookline.errors import BooklineError, SlowDown, WrongKey
from bookline.time_limit import gives_way, off_the_clock, time_limit

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
log = logging.getLogger(__name__)

_Waiting = tuple[K, "asyncio.Future[T | BooklineError | None]"]


class Together(Generic[K, T]):
    """``ask_many`` gives an answer or an error for each key; for one that is missing it knows none.

    ``ask_one`` asks for one alone. At most ``most`` keys are asked for at once; the question may
    take ``limit_seconds``, its waits for a turn aside. Who asks keeps its place ``at_work`` where
    there are no such waits.
    """

    def __init__(
        self,
        ask_many: Callable[[Sequence[K]], Awaitable[Mapping[K, T | BooklineError]]],
        ask_one: Callable[[K], Awaitable[T]],
        *,
        most: int,
        limit_seconds: float,
        at_work: bool = False,
    ) -> None:
        self._ask_many = ask_many
        self._ask_one = ask_one
        self._most = most
        self._limit_seconds = limit_seconds
        self._at_work = at_work
        self._waiting: deque[_Waiting[K, T]] = deque()
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, key: K) -> T:
        """The answer for this key. The time until it is there counts for no limit of the caller:
        the question has one of its own.

        Raises: what holds for all, and as ``ask_one``.
        """
        answer: asyncio.Future[T | BooklineError | None]
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all(), context=Context())
        async with off_the_clock(at_work=self._at_work):
            found = await answer
        if found is None:
            return await self._ask_one(key)
        if isinstance(found, BooklineError):
            raise found
        return found

    async def _ask_all(self) -> None:
        await asyncio.sleep(0)  # those who come in the same pass of the loop
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
            some = [one for one in some if not one[1].done()]
            found = await self._found(list(dict.fromkeys(key for key, _ in some)))
            for key, answer in some:
                if not answer.done():
                    one = found.get(key)
                    answer.set_result(copy.copy(one) if isinstance(one, BooklineError) else one)
        self._asking = None

    async def _found(self, keys: Sequence[K]) -> Mapping[K, T | BooklineError]:
        """What is known of the keys. One alone is no question for many."""
        if len(keys) < 2:
            return {}
        try:
            with gives_way():
                async with time_limit(self._limit_seconds):
                    return await self._ask_many(keys)
        except (SlowDown, WrongKey) as error:
            return dict.fromkeys(keys, error)
        except (BooklineError, TimeoutError) as error:
            log.info("%d are asked for one by one: %s", len(keys), type(error).__name__)
        except Exception:
            log.exception("a question for many broke; they are asked one by one")
        return {}


def outcome_of(ask: Callable[[], T]) -> T | BooklineError:
    """What it gives, or the error that it raises."""
    try:
        return ask()
    except BooklineError as error:
        return error
