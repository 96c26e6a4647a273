# mypy: ignore-errors
"""Celery on Redis: one task with all four steps. Not durable by step: what dies begins anew."""

import os

import steps
from celery import Celery

app = Celery("books", broker=os.environ["PEER_REDIS"], backend=os.environ["PEER_REDIS"])
app.conf.update(
    task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True
)


@app.task(autoretry_for=(OSError,), max_retries=3)
def import_book(isbn):
    book = steps.fetch_metadata(isbn)
    cover = steps.upload_cover(isbn, book["cover"])
    return steps.save(book, cover, steps.generate_embedding(book))
