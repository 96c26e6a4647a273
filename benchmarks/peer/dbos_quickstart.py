# mypy: ignore-errors
"""DBOS as its quickstart has it: a workflow of four steps, SQLite, nothing tuned. Durable."""

import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import steps
from dbos import DBOS

DBOS(config={
    "name": "books",
    "system_database_url": f"sqlite:///{os.environ['PEER_FOLDER']}/dbos.db",
    "log_level": "ERROR",
})  # fmt: skip


@DBOS.step(retries_allowed=True, max_attempts=4)
def fetch_metadata(isbn):
    return steps.fetch_metadata(isbn)


@DBOS.step(retries_allowed=True, max_attempts=6)
def upload_cover(isbn, url):
    return steps.upload_cover(isbn, url)


@DBOS.step(retries_allowed=True, max_attempts=3)
def generate_embedding(book):
    return steps.generate_embedding(book)


@DBOS.step(retries_allowed=True, max_attempts=4)
def save(book, cover, vector):
    return steps.save(book, cover, vector)


@DBOS.workflow()
def import_book(isbn):
    book = fetch_metadata(isbn)
    cover = upload_cover(isbn, book["cover"])
    return save(book, cover, generate_embedding(book))


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run_one(isbn):
    return DBOS.start_workflow(import_book, isbn).get_result()["saved"]


def main():
    warm, *isbns = sys.argv[2:]
    DBOS.launch()
    run_one(warm)
    began, used = time.perf_counter(), cpu_seconds()
    with ThreadPoolExecutor(int(sys.argv[1])) as callers:
        done = list(callers.map(run_one, isbns))
    print(json.dumps({
        "seconds": time.perf_counter() - began, "cpu": cpu_seconds() - used, "done": sum(done)
    }))  # fmt: skip
    DBOS.destroy()


main()
