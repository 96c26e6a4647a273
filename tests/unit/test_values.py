"""The values of an import: each comes back whole from its one stored form."""

import json
import math
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.book import Book, Cover, Embedding, Metadata, Provenance
from bookline.errors import EmbeddingRefused
from bookline.job import (
    JOB_STATUSES,
    NEXT_STATUSES,
    TERMINAL,
    ImportInput,
    ImportResult,
    Job,
    Warned,
)
from bookline.retries import CONSTANT, EXPONENTIAL, LINEAR, Retries
from bookline.values import Json, iso

ISBN = "9780142437247"
texts = st.text(max_size=20)
maybe = st.none() | texts
lists = st.lists(texts, max_size=3).map(tuple)

orders = st.builds(
    ImportInput, job_id=texts, isbn=texts, input_isbn=texts, source=texts, user_id=maybe
)
metadata = st.builds(
    Metadata,
    isbn=st.just(ISBN),
    isbn10=maybe,
    title=texts,
    subtitle=maybe,
    authors=lists,
    description=maybe,
    publisher=maybe,
    publication_date=maybe,
    page_count=st.none() | st.integers(1, 9_999),
    language=maybe,
    categories=lists,
    cover_url=maybe,
    source=texts,
    source_id=maybe,
)
covers = st.builds(
    Cover,
    key=st.sampled_from([f"covers/{ISBN}.{kind}" for kind in ("jpg", "png", "webp", "gif")]),
    content_type=texts,
    width=st.integers(50, 9_999),
    height=st.integers(50, 9_999),
    sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
    source_url=texts,
    fetched_at=texts,
)
embeddings = st.builds(
    Embedding.of, texts, st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8)
)
provenances = st.builds(
    Provenance, source=texts, source_id=maybe, job_id=texts, imported_at=texts, updated_at=texts
)
books = st.builds(
    Book,
    metadata=metadata,
    cover=st.none() | covers,
    embedding=st.none() | embeddings,
    provenance=provenances,
)


def on_disk(value: Json) -> Json:
    """As JSON brings it back."""
    kept: Json = json.loads(json.dumps(value))
    return kept


# ------------------------------------------------------------------ round trips
@given(orders)
def test_an_order_comes_back_whole(order: ImportInput) -> None:
    assert ImportInput.from_json(on_disk(order.to_json())) == order


@given(metadata)
def test_metadata_come_back_whole(found: Metadata) -> None:
    assert Metadata.from_json(on_disk(found.to_json())) == found


@given(covers)
def test_a_cover_comes_back_whole(cover: Cover) -> None:
    assert Cover.from_json(on_disk(cover.to_json())) == cover


@given(embeddings)
def test_an_embedding_comes_back_whole(embedding: Embedding) -> None:
    again = Embedding.from_json(on_disk(embedding.to_json()))

    assert again == embedding
    assert Embedding.of_bytes(again.model, again.to_bytes()) == embedding


@given(provenances)
def test_a_provenance_comes_back_whole(provenance: Provenance) -> None:
    assert Provenance.from_json(on_disk(provenance.to_json())) == provenance


@given(books)
def test_a_stored_book_comes_back_whole(book: Book) -> None:
    assert Book.from_stored(on_disk(book.to_stored())) == book


@given(books)
def test_every_stored_form_is_what_json_gives_back(book: Book) -> None:
    """Lists for tuples: a replay sees what the first run saw."""
    assert on_disk(book.to_stored()) == book.to_stored()
    assert on_disk(book.to_json()) == book.to_json()


# ------------------------------------------------------------------ the public book
@given(books)
def test_a_public_book_has_every_field_and_no_internal_one(book: Book) -> None:
    public = book.to_json()

    assert list(public) == [
        "isbn", "isbn10", "title", "subtitle", "author", "authors", "description", "publisher",
        "publicationDate", "pageCount", "language", "categories", "cover", "embedding",
        "provenance", "reading", "locked",
    ]  # fmt: skip
    if public["cover"]:
        assert set(public["cover"]) == {"key", "url", "contentType", "width", "height", "sha256"}
    if public["embedding"]:
        assert set(public["embedding"]) == {"model", "dimensions"}


def test_a_covers_address_changes_with_its_picture() -> None:
    cover = Cover(
        key=f"covers/{ISBN}.png",
        content_type="image/png",
        width=1,
        height=1,
        sha256="0123456789abcdef" * 4,
        source_url="",
        fetched_at="",
    )

    assert cover.url == f"/v2/covers/{ISBN}?v=0123456789abcdef"
    assert replace(cover, sha256="f" * 64).url != cover.url


# ------------------------------------------------------------------ text for the embedding
@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "Moby Dick."),
        ({"authors": ("Melville", "Other")}, "Moby Dick by Melville."),
        ({"description": "A whale."}, "Moby Dick. A whale."),
        (
            {"authors": ("Melville",), "description": "A whale."},
            "Moby Dick by Melville. A whale.",
        ),
    ],
)
def test_the_text_for_the_embedding_leaves_out_what_is_not_known(
    parts: dict[str, Any], text: str
) -> None:
    assert Metadata(isbn=ISBN, title="Moby Dick", **parts).embedding_text == text


# ------------------------------------------------------------------ vectors
@pytest.mark.parametrize("numbers", [[math.nan], [math.inf, 1.0], [-math.inf], []])
def test_a_vector_that_is_none_is_refused(numbers: list[float]) -> None:
    with pytest.raises(EmbeddingRefused):
        Embedding.of("m", numbers).to_bytes()


def test_a_number_too_great_is_refused() -> None:
    with pytest.raises(EmbeddingRefused):
        Embedding.of("m", [1e300])


@pytest.mark.parametrize("vector", ["", "AAAA", "not base64!", "AAAAAAAAAAA="])
def test_a_vector_of_another_length_is_refused(vector: str) -> None:
    with pytest.raises(EmbeddingRefused):
        Embedding(model="m", dimensions=1, vector=vector).to_bytes()


# ------------------------------------------------------------------ job and result
def test_a_job_shows_every_field() -> None:
    order = ImportInput(job_id="j", isbn=ISBN, input_isbn="0142437247")
    event = {"seq": 1, "status": "started", "data": {"isbn": ISBN}}
    job = Job(order=order, method="workflow", created_ms=0, updated_ms=1_500, last_event=event)

    assert job.to_json() == {
        "jobId": "j",
        "batchId": None,
        "isbn": ISBN,
        "inputIsbn": "0142437247",
        "source": "auto",
        "method": "workflow",
        "status": "queued",
        "step": None,
        "attempt": None,
        "progress": 0.0,
        "createdAt": "1970-01-01T00:00:00.000Z",
        "lastUpdated": "1970-01-01T00:00:01.500Z",
        "lastEvent": event,
        "data": {"isbn": ISBN},
        "result": None,
        "error": None,
    }


@given(st.none() | covers, st.booleans())
def test_a_result_shows_every_field(cover: Cover | None, has_embedding: bool) -> None:
    result = ImportResult(
        isbn=ISBN,
        title="t",
        source="isbndb",
        stored_in="kv",
        cover=cover,
        has_embedding=has_embedding,
        warnings=(Warned(step="s", code="C", message="m"),),
    )

    assert result.to_json() == {
        "success": True,
        "isbn": ISBN,
        "title": "t",
        "source": "isbndb",
        "saved": True,
        "storedIn": "kv",
        "coverR2Key": cover.key if cover else None,
        "coverUrl": cover.url if cover else None,
        "hasEmbedding": has_embedding,
        "warnings": [{"step": "s", "code": "C", "message": "m"}],
    }


def test_the_state_table_is_complete() -> None:
    assert set(NEXT_STATUSES) == set(JOB_STATUSES)
    assert {status for status, after in NEXT_STATUSES.items() if not after} == TERMINAL - {"failed"}


@given(st.integers(0, 10**13))
def test_times_are_utc_with_milliseconds(ms: int) -> None:
    text = iso(ms)

    assert (len(text), text[-1]) == (24, "Z")
    assert round(datetime.fromisoformat(text).timestamp() * 1000) == ms


# ------------------------------------------------------------------ retries
@pytest.mark.parametrize(
    ("backoff", "delays"),
    [(CONSTANT, [2, 2, 2, 2]), (LINEAR, [2, 4, 6, 8]), (EXPONENTIAL, [2, 4, 8, 16])],
)
def test_delays_grow_as_their_backoff_says(backoff: str, delays: list[float]) -> None:
    retries = Retries(limit=4, delay_seconds=2, backoff=backoff)

    assert [retries.delay_after(failure) for failure in (1, 2, 3, 4)] == delays
