"""The order of the steps, and nothing else. Reads as the story of one import.

Way:      imports.py starts it through an engine → here → steps/
Rule 1:   no clock, no random number, no network, no setting: those live in steps.
Rule 2:   a step's name, order and arguments are a stored format; whoever changes them raises
          ``VERSION`` and lets the rules before stand in ``OLDER``: an import ends under those that
          it began under, also when it is retried.
Source:   docs/plan-checklist.md, phase 3.1; Cloudflare counts retries (limit 3 = up to 4 tries).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial

from bookline.book import Cover, Metadata
from bookline.errors import StepFailed
from bookline.job import ImportInput, ImportResult, Warned
from bookline.ports import Run, Steps
from bookline.progress.events import (
    COVER_UPLOADED,
    EMBEDDING_GENERATED,
    EVENT_DESCRIPTION_CHARS,
    EVENT_LIST_ITEMS,
    METADATA_FETCHED,
    STARTED,
)
from bookline.retries import EXPONENTIAL, LINEAR, Retries, Step
from bookline.values import Json

Rules = Callable[[ImportInput, Run, Steps], Awaitable[ImportResult]]

VERSION = "book-import-2"
"""The rules that imports begin under now. It is kept with the input of each."""
FIRST_VERSION = "book-import-1"
"""The rules of an import whose input names none."""

FETCH_METADATA = Step(
    name="fetch-metadata",
    retries=Retries(limit=3, delay_seconds=1, backoff=LINEAR),
    limit_seconds=15,
    failed_code="PROVIDER_ERROR",
    timeout_code="PROVIDER_TIMEOUT",
)
UPLOAD_COVER = Step(
    name="upload-cover",
    retries=Retries(limit=5, delay_seconds=0.5, backoff=EXPONENTIAL),
    limit_seconds=20,
    failed_code="COVER_FAILED",
    timeout_code="COVER_TIMEOUT",
)
GENERATE_EMBEDDING = Step(
    name="generate-embedding",
    retries=Retries(limit=2, delay_seconds=2, backoff=LINEAR),
    limit_seconds=30,
    failed_code="EMBEDDING_FAILED",
    timeout_code="EMBEDDING_TIMEOUT",
)
SAVE_TO_DATABASE = Step(
    name="save-to-database",
    retries=Retries(limit=3, delay_seconds=1, backoff=EXPONENTIAL),
    limit_seconds=15,
    failed_code="SAVE_FAILED",
    timeout_code="SAVE_FAILED",
)
SAVE_TO_FALLBACK = Step(
    name="save-to-fallback",
    retries=SAVE_TO_DATABASE.retries,
    limit_seconds=15,
    failed_code="SAVE_FAILED",
    timeout_code="SAVE_FAILED",
)
OPTIONAL = frozenset({UPLOAD_COVER.name, GENERATE_EMBEDDING.name})
"""An import is finished without them when they fail for good."""
STEPS = (FETCH_METADATA, UPLOAD_COVER, GENERATE_EMBEDDING, SAVE_TO_DATABASE, SAVE_TO_FALLBACK)


async def import_book(order: ImportInput, run: Run, steps: Steps) -> ImportResult:
    """The finished import. Cover and embedding are optional; metadata and saving are not.

    Raises: StepFailed, DeadlineExceeded, Cancelled; the engine makes the job's end of them.
    """
    metadata = await _metadata(order, run, steps)
    cover_is_told = asyncio.Event()  # events keep their order, whichever step ends first
    if metadata.cover_url is None:
        cover_is_told.set()
        cover, embedding = _NOTHING, await _embedding(metadata, run, steps, cover_is_told)
    else:
        run.side_by_side(UPLOAD_COVER, GENERATE_EMBEDDING)
        cover, embedding = await _side_by_side(
            _cover(order, metadata, run, steps, cover_is_told),
            _embedding(metadata, run, steps, cover_is_told),
        )
    return await _saved(order, metadata, cover, embedding, run, steps)


async def import_in_order(order: ImportInput, run: Run, steps: Steps) -> ImportResult:
    """The rules ``FIRST_VERSION``: the embedding is begun behind the cover."""
    metadata = await _metadata(order, run, steps)
    cover, cover_is_told = _NOTHING, asyncio.Event()
    if metadata.cover_url is not None:
        cover = await _cover(order, metadata, run, steps, cover_is_told)
    cover_is_told.set()
    embedding = await _embedding(metadata, run, steps, cover_is_told)
    return await _saved(order, metadata, cover, embedding, run, steps)


@dataclass(frozen=True, slots=True)
class _Optional:
    """What an optional step gave, or why it gave nothing."""

    value: Json | None = None
    warnings: tuple[Warned, ...] = ()


_NOTHING = _Optional()


async def _metadata(order: ImportInput, run: Run, steps: Steps) -> Metadata:
    await run.tell(STARTED, {"isbn": order.isbn})

    async def fetch_metadata() -> Json:
        return (await steps.fetch_metadata(order)).to_json()

    metadata = Metadata.from_json(await run.do(FETCH_METADATA, fetch_metadata))
    await run.tell(METADATA_FETCHED, {"metadata": metadata_facts(metadata)})
    return metadata


async def _cover(
    order: ImportInput, metadata: Metadata, run: Run, steps: Steps, is_told: asyncio.Event
) -> _Optional:
    upload_cover = partial(steps.upload_cover, order.isbn, metadata.cover_url or "")
    try:
        cover = await run.do(UPLOAD_COVER, upload_cover)
    except StepFailed as failure:
        warned = await _warned(run, failure)
        is_told.set()
        return _Optional(warnings=(warned,))
    await run.tell(COVER_UPLOADED, cover_facts(cover))
    is_told.set()
    return _Optional(cover)


async def _embedding(
    metadata: Metadata, run: Run, steps: Steps, cover_is_told: asyncio.Event
) -> _Optional:
    """Told behind the cover, whichever ends first."""

    async def generate_embedding() -> Json:
        return {"embedding": await steps.generate_embedding(metadata)}

    try:
        embedding = (await run.do(GENERATE_EMBEDDING, generate_embedding))["embedding"]
    except StepFailed as failure:
        await cover_is_told.wait()
        return _Optional(warnings=(await _warned(run, failure),))
    await cover_is_told.wait()
    if embedding is not None:
        facts = {"dimensions": embedding["dimensions"], "model": embedding["model"]}
        await run.tell(EMBEDDING_GENERATED, facts)
    return _Optional(embedding)


async def _saved(
    order: ImportInput,
    metadata: Metadata,
    cover: _Optional,
    embedding: _Optional,
    run: Run,
    steps: Steps,
) -> ImportResult:
    warnings = [*cover.warnings, *embedding.warnings]
    book = (order, metadata, cover.value, embedding.value)
    try:
        saved = await run.do(SAVE_TO_DATABASE, partial(steps.save, *book))
    except StepFailed as failure:
        warnings.append(await _warned(run, failure))
        try:
            saved = await run.do(SAVE_TO_FALLBACK, partial(steps.save_aside, *book))
        except StepFailed as aside:
            raise failure from aside  # a retry of the job begins at the database again

    return ImportResult(
        isbn=order.isbn,
        title=metadata.title,
        source=metadata.source,
        stored_in=saved["storedIn"],
        cover=Cover.from_json(cover.value) if cover.value else None,
        has_embedding=saved["hasEmbedding"],
        warnings=tuple(warnings),
    )


async def _side_by_side(
    first: Coroutine[None, None, _Optional], second: Coroutine[None, None, _Optional]
) -> tuple[_Optional, _Optional]:
    """What both give. One that must end the job ends the other too."""
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()
    return tasks[0].result(), tasks[1].result()


OLDER: Mapping[str, Rules] = {FIRST_VERSION: import_in_order}
"""Rules that running imports, and failed ones, may have begun under."""


def is_known(version: str) -> bool:
    """Whether this Bookline has the rules of that version."""
    return version == VERSION or version in OLDER


def rules(version: str) -> Rules:
    """What an import that began under this version goes by; unknown ones fail with the reason."""
    if version == VERSION:
        return import_book
    return OLDER.get(version) or partial(_refuse, version)


async def _refuse(version: str, order: ImportInput, run: Run, steps: Steps) -> ImportResult:
    message = (
        f"the import began under the rules {version}, which this Bookline does not have; "
        "run the Bookline that began it, or import the book anew"
    )
    raise StepFailed(None, 0, "INTERNAL_ERROR", message)


def metadata_facts(metadata: Metadata) -> Json:
    """The metadata as watchers get it, cut so that a message stays below 32 KB."""
    summary = metadata.to_json()
    del summary["fields"]
    if metadata.description is not None:
        summary["description"] = metadata.description[:EVENT_DESCRIPTION_CHARS]
    summary["authors"] = summary["authors"][:EVENT_LIST_ITEMS]
    summary["categories"] = summary["categories"][:EVENT_LIST_ITEMS]
    return summary


def cover_facts(cover: Json) -> Json:
    """The stored cover as watchers get it."""
    return {
        "coverR2Key": cover["key"],
        "coverUrl": cover["url"],
        "width": cover["width"],
        "height": cover["height"],
    }


async def _warned(run: Run, failure: StepFailed) -> Warned:
    warned = Warned(step=failure.step or "", code=failure.code, message=str(failure))
    await run.warn(warned)
    return warned
