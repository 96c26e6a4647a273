"""Values on their way between the Worker's parts: as JSON text, so that nothing is rounded or lost.

Rule 1:  what crosses is text: the platform's own conversion turns 1.0 into 1 and refuses tuples.
"""

import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bookline.job import ImportInput, Job
from bookline.progress.batches import Batch, Item
from bookline.progress.events import News
from bookline.progress.records import ImportRecord
from bookline.values import Json

_BRACKETS = re.compile(rb"[\[\]{}]")
DEEPEST = 500  # our choice; Pyodide's JSON reader ends the interpreter at some thousands


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


def dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> Any:
    """The value. Raises: ValueError for what is no JSON, or nested deeper than ``DEEPEST``."""
    if is_deep(text.encode()):
        raise ValueError(f"JSON that is nested more than {DEEPEST} deep")
    return json.loads(text)


def is_deep(body: bytes) -> bool:
    """Whether brackets in it are nested deeper than ``DEEPEST``; those within strings count too."""
    if body.count(b"[") + body.count(b"{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(body):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEEPEST:
            return True
    return False


def job_to_plain(job: Job) -> Json:
    return {**asdict(job), "order": job.order.to_json()}


def job_from_plain(data: Json) -> Job:
    return Job(**{**data, "order": ImportInput.from_json(data["order"])})


def batch_to_plain(batch: Batch) -> Json:
    return asdict(batch)


def batch_from_plain(data: Json) -> Batch:
    return Batch(**{**data, "header": tuple(data["header"])})


def item_to_plain(item: Item) -> Json:
    return asdict(item)


def item_from_plain(data: Json) -> Item:
    return Item(**{**data, "authors": tuple(data["authors"])})


def news_to_plain(news: News) -> Json:
    return asdict(news)


def news_from_plain(data: Json) -> News:
    return News(**data)


def ended_to_plain(job: Job, records: Sequence[ImportRecord]) -> Json:
    """A job that may have ended, with the record of its end."""
    return {"job": job_to_plain(job), "record": asdict(records[-1]) if records else None}


def ended_from_plain(data: Json) -> tuple[Job, ImportRecord | None]:
    record = data["record"]
    return job_from_plain(data["job"]), ImportRecord(**record) if record else None
