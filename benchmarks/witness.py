"""Starts imports, watches them, is torn off and comes back, and tells what must not be."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import aiohttp
from common import show

GONE = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
TEAR_EVERY_SECONDS = (0.1, 3.0)
ANSWER_WITHIN = aiohttp.ClientTimeout(total=5.0)  # a frozen server takes connections
CHECKED_AT_ONCE = 20


class Witness:
    """What is asked of one of ``urls``, by chance, and what was seen there.

    ``faults`` are what must not happen, in words.
    """

    def __init__(self, urls: Sequence[str], chance: random.Random) -> None:
        self.urls = urls
        self.chance = chance
        self.jobs: dict[str, str] = {}
        """Job → its ISBN."""
        self.faults: list[str] = []
        self.tears = 0
        self.events = 0
        self.watchers: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        return self.chance.choice(self.urls)

    async def start(
        self, client: aiohttp.ClientSession, path: str, body: Mapping[str, Any], key: str
    ) -> dict[str, Any]:
        """The same Idempotency-Key until somebody answers: once, however often it is asked."""
        headers = {"Idempotency-Key": key}
        while True:
            try:
                async with client.post(
                    self.url + path, json=body, headers=headers, timeout=ANSWER_WITHIN
                ) as answer:
                    if answer.status == 202:
                        data: dict[str, Any] = (await answer.json())["data"]
                        return data
            except GONE:
                pass
            await asyncio.sleep(0.2)

    def watched(self, client: aiohttp.ClientSession, job_id: str, times: int) -> None:
        for _ in range(times):
            self.watchers.append(asyncio.create_task(self.watch(client, job_id)))

    async def watch(self, client: aiohttp.ClientSession, job_id: str) -> None:
        """One watcher, torn off now and then, that comes back with ``after`` until the end."""
        seqs: list[int] = []
        while not await self._listen(client, job_id, seqs):
            await asyncio.sleep(0.1)
        self.events += len(seqs)
        if seqs != list(range(1, len(seqs) + 1)):
            self.faults.append(f"a watcher of {job_id} saw {seqs}")

    async def _listen(self, client: aiohttp.ClientSession, job_id: str, seqs: list[int]) -> bool:
        """True when a server said that the job is over."""
        after = seqs[-1] if seqs else 0
        limit = asyncio.timeout(self.chance.uniform(*TEAR_EVERY_SECONDS))
        try:
            async with limit, client.ws_connect(
                f"{self.url}/ws/progress?jobId={job_id}&after={after}"
            ) as socket:  # fmt: skip
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        event = json.loads(message.data)
                        if event["type"] != "ping":
                            seqs.append(event["seq"])
        except GONE:
            self.tears += limit.expired()
            return False
        if socket.close_code in {4404, 1008}:
            self.faults.append(f"{job_id} was refused with {socket.close_code}")
            return True
        return socket.close_code == 1000

    async def saw_all_ends(self, seconds: float) -> bool:
        """Whether every watcher saw its job's end within so long."""
        if not self.watchers:
            return True
        _, waiting = await asyncio.wait(self.watchers, timeout=seconds)
        if waiting:
            self.faults.append(f"{len(waiting)} watchers still wait for an end")
        for task in waiting:
            task.cancel()
        return not waiting

    def sum_up(self) -> int:
        """Prints what was seen; the exit code."""
        show("times a watcher was torn off", str(self.tears))
        show("events that watchers saw", str(self.events))
        for fault in self.faults[:20]:
            print(f"FAULT: {fault}")
        count = len(self.faults)
        print(f"{count} faults" if count else "nothing lost, nothing doubled")
        return 1 if count else 0

    async def check_stories(
        self, client: aiohttp.ClientSession, jobs: Iterable[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Each job's whole story, over Server-Sent Events."""
        turns = asyncio.Semaphore(CHECKED_AT_ONCE)
        stories: dict[str, list[dict[str, Any]]] = {}

        async def check(job_id: str) -> None:
            async with turns:
                text = await read(client, f"{self.url}/v2/import/events/{job_id}")
            lines = [line for line in text.splitlines() if line.startswith("data: ")]
            stories[job_id] = [json.loads(line[6:]) for line in lines]
            self.check_story(job_id, stories[job_id])

        await asyncio.gather(*map(check, jobs))
        return stories

    def check_story(self, job_id: str, told: list[dict[str, Any]]) -> None:
        seqs = [event["seq"] for event in told]
        if seqs != list(range(1, len(seqs) + 1)):
            self.faults.append(f"the story of {job_id} is {seqs}")
        statuses = Counter(event["status"] for event in told if event["status"])
        tries = Counter(
            (event["data"]["step"], event["data"]["attempt"])
            for event in told
            if event["type"] == "workflow_retry"
        )
        doubled = [one for counted in (statuses, tries) for one, n in counted.items() if n > 1]
        if doubled or statuses["completed"] != 1:
            last = told[-1]["data"].get("error") if told else None
            self.faults.append(f"{job_id} told {dict(statuses)}, {doubled} twice, at last {last}")

    async def check_counts(self, client: aiohttp.ClientSession, asked: Mapping[str, int]) -> None:
        """Nothing runs any more, and the metrics count each import once. ``asked`` by method."""
        if (await data(client, f"{self.url}/v2/import/jobs?limit=200&status=running"))["items"]:
            self.faults.append("some jobs never ended")
        counted = (await data(client, f"{self.url}/v2/metrics/imports?window=7d"))["methods"]
        for method, count in asked.items():
            done = counted[method]["byOutcome"]["done"]
            if done != count:
                self.faults.append(f"{done} of {count} {method} imports are counted")

    async def check_books(self, client: aiohttp.ClientSession, isbns: Iterable[str]) -> None:
        """Each of them is in the library once, and no other book is."""
        books = [one["isbn"] for one in await pages(client, f"{self.url}/v2/books?limit=200")]
        there, wanted = Counter(books), Counter(isbns)
        for isbn in (wanted - there) | (there - wanted):
            self.faults.append(f"the book {isbn} is there {there[isbn]} times")


async def read(client: aiohttp.ClientSession, url: str) -> str:
    async with client.get(url) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def data(client: aiohttp.ClientSession, url: str) -> Any:
    return json.loads(await read(client, url))["data"]


async def pages(client: aiohttp.ClientSession, url: str) -> list[dict[str, Any]]:
    """All items of a list, page by page. ``url`` has a query."""
    items: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await data(client, url + cursor)
        items += page["items"]
        if page["nextCursor"] is None:
            return items
        cursor = f"&cursor={page['nextCursor']}"
