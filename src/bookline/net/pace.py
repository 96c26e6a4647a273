"""Questions to a provider, no faster than it allows, over all processes of a deployment.

Way:      providers/ → net/aiohttp_http.py → here, with each question → rests.py, turns.py
Rule 1:   waiting is not the provider's slowness: the try's clock stands still.
Rule 2:   who said when to come back is not asked before, by no import of the deployment.
Rule 3:   while a provider does not answer at all, imports wait for it; one of them asks now and
          then, and its failure is no try.
          Rows without an ISBN come again instead: they are not imports yet (``Resting``).
Rule 4:   a store that is away costs a question no try: the turn is asked for again.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus

from bookline.circuit import Outages
from bookline.engine.places import Places
from bookline.errors import ProviderDown, Resting, SlowDown
from bookline.limits import Limits
from bookline.net.rests import Rests, title
from bookline.net.turns import Turns
from bookline.patience import from_store
from bookline.ports import Answer, Http, Pace
from bookline.providers.answers import read_retry_after
from bookline.rates import Rate
from bookline.time_limit import (
    is_coming_again,
    is_coming_with_others,
    is_giving_way,
    is_over_time,
    off_the_clock,
)

LOOK_SECONDS = 0.5  # our choice: how late we may notice that another process got an answer
PROBE_SECONDS = 10.0  # our choice: for a probe that hangs
SLOW_SECONDS = 5.0  # our choice: a question that was cut earlier says nothing of the provider
_COME_BACK = frozenset({429, 503})  # RFC 6585, RFC 9110: with these Retry-After is sent

Question = Callable[[], Awaitable[Answer]]
QuotaLeft = Callable[[Answer], float | None]
"""Seconds until the quota of the day begins anew, where the answer says that it is used up."""


class SharedPace:
    """Fills the port Pace. A provider without a rate is asked at once.

    ``passed`` gives seconds that only rise.
    """

    def __init__(
        self,
        limits: Limits,
        rates: Mapping[str, Rate | None],
        quotas: Mapping[str, QuotaLeft] | None = None,
        passed: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rests = Rests(limits, passed)
        self._passed = passed
        self._quotas = quotas or {}
        self._rates = rates
        self._limits = limits
        self._lines: dict[str, _Line] = {}

    async def ask(self, provider: str, what: str, question: Question) -> Answer:
        line = self._line(provider)
        while True:
            if self._may_at_once(provider, line):
                return await self._asked(provider, line, what, question)
            async with off_the_clock():
                wait = self._wait_or_leave if is_coming_again() else self._wait
                is_probe = await wait(provider, line)
                if is_probe and (answer := await self._probed(provider, line, what, question)):
                    return answer
            if not is_probe:
                return await self._asked(provider, line, what, question)

    async def held_seconds(self, provider: str) -> float:
        rest = self.rests.known(provider) or await self.rests.of(provider)
        return max(rest.hold, rest.quota, rest.circuit or 0.0)

    # ------------------------------------------------------------------ before the question
    def _line(self, provider: str) -> "_Line":
        if provider not in self._lines:
            rate = self._rates.get(provider)
            turns = None if rate is None else Turns(self._limits, f"ask:{provider}", rate)
            self._lines[provider] = _Line(turns)
        return self._lines[provider]

    def _may_at_once(self, provider: str, line: "_Line") -> bool:
        """Without a look at the store: there is no rate, and a moment ago there was no rest."""
        if line.turns is not None or line.waiting or line.outages.are_too_many:
            return False
        rest = self.rests.known(provider)
        return rest is not None and rest.is_none

    async def _wait(self, provider: str, line: "_Line") -> bool:
        """Until the provider may be asked; whether the question is its circuit's probe.

        Raises: SlowDown while the quota of the day is used up, StoreDown.
        """
        async with line.place():
            while True:
                if line.outages.are_too_many:
                    await from_store(partial(self.rests.open, provider))
                    line.outages.answered()
                rest = await self.rests.of(provider)
                if rest.quota > 0:
                    raise _spent(provider, rest.quota)
                if rest.circuit is not None:
                    line.outages.answered()  # it is counted anew from when it is closed
                wait = max(rest.hold, rest.circuit or 0.0)
                if wait > 0:
                    line.give_back()
                elif line.turns is not None:
                    wait = await line.turns.until_next(line.waiting)
                if wait > 0:
                    await asyncio.sleep(min(wait, LOOK_SECONDS))
                elif rest.circuit is None or await self._takes_probe(provider):
                    line.use()
                    return rest.circuit is not None

    async def _wait_or_leave(self, provider: str, line: "_Line") -> bool:
        """The same for who comes again, wherever in the line it is. Raises: Resting, too."""
        try:
            async with asyncio.timeout(None) as stay:
                watch = asyncio.create_task(self._watch_circuit(provider, stay))
                try:
                    return await self._wait(provider, line)
                finally:
                    watch.cancel()
        except TimeoutError as error:
            seconds = (await self.rests.of(provider)).circuit
            message = f"{title(provider)} is not answering"
            raise Resting(message, retry_after_seconds=seconds) from error

    async def _watch_circuit(self, provider: str, stay: asyncio.Timeout) -> None:
        while True:
            if (await self.rests.of(provider)).circuit:
                stay.reschedule(0)
                return
            await asyncio.sleep(LOOK_SECONDS)  # closed, or somebody may look

    async def _takes_probe(self, provider: str) -> bool:
        return await from_store(partial(self.rests.probe, provider))

    # ------------------------------------------------------------------ the question
    async def _asked(self, provider: str, line: "_Line", what: str, question: Question) -> Answer:
        began = self._passed()
        try:
            answer = await question()
        except ProviderDown:
            line.outages.failed(what)
            raise
        except asyncio.CancelledError:
            if is_over_time() and self._passed() - began >= SLOW_SECONDS:
                line.outages.failed(what)
            raise
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            line.outages.failed(what)
        else:
            line.outages.answered()
        await self._heed(provider, answer)
        return answer

    async def _probed(
        self, provider: str, line: "_Line", what: str, question: Question
    ) -> Answer | None:
        """Its answer, which closes the circuit. None when there is none yet and others wait, too;
        who is the last to wait has its tries like everybody.
        """
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                answer = await question()
        except (ProviderDown, TimeoutError) as error:
            if line.waiting or is_coming_with_others():
                return None
            if isinstance(error, ProviderDown):
                raise
            late = f"{title(provider)} did not answer within {PROBE_SECONDS:g} s"
            raise ProviderDown(late, "PROVIDER_TIMEOUT") from error
        await self._heed(provider, answer)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return None if line.waiting or is_coming_with_others() else answer
        await self.rests.close(provider)
        return answer

    async def _heed(self, provider: str, answer: Answer) -> None:
        """What the answer says of when to come back holds for every import."""
        if answer.status in _COME_BACK and (seconds := read_retry_after(answer)):
            await self.rests.hold(provider, seconds)
        quota_left = self._quotas.get(provider)
        if quota_left is not None and (seconds := quota_left(answer)):
            await self.rests.spend(provider, seconds)


class Paced:
    """Http for one provider: each question waits for its turn."""

    def __init__(self, http: Http, pace: Pace, name: str) -> None:
        self._http = http
        self._pace = pace
        self._name = name

    async def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        question = partial(self._http.get, url, params=params, headers=headers)
        return await self._pace.ask(self._name, f"{url} {params}", question)

    async def post(
        self, url: str, *, json: object, headers: Mapping[str, str] | None = None
    ) -> Answer:
        question = partial(self._http.post, url, json=json, headers=headers)
        return await self._pace.ask(self._name, f"{url} {json}", question)


class _Line:
    """Who wants to ask one provider, in this process: one after the other, those of batches behind
    all others.
    """

    def __init__(self, turns: Turns | None) -> None:
        self.turns = turns
        self.outages = Outages()
        self.waiting = 0
        self._head = Places(1)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Waits until those before have had their turn."""
        self.waiting += 1
        try:
            await self._head.take(is_back=not is_giving_way())
            try:
                yield
            finally:
                self._head.give()
        finally:
            self.waiting -= 1
            if not self.waiting:
                self.give_back()

    def use(self) -> None:
        """The turn that has come."""
        if self.turns is not None:
            self.turns.use()

    def give_back(self) -> None:
        """Turns that nobody here wants now."""
        if self.turns is not None:
            self.turns.give_back()


def _spent(provider: str, seconds: float) -> SlowDown:
    when = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
    return SlowDown(f"{title(provider)}: the quota of the day is used up; it begins anew in {when}")
