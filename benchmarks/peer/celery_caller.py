# mypy: ignore-errors
"""Hands the books to Celery's worker and waits for all of them."""

import json
import resource
import sys
import time

from celery import group
from celery_tasks import import_book


def main():
    warm, *isbns = sys.argv[2:]
    # each of the worker's processes loads the model once
    group(import_book.s(warm) for _ in range(20)).apply_async().get(timeout=120)
    sys.stdout.write("warm\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began = time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_SELF)
    done = group(import_book.s(isbn) for isbn in isbns).apply_async().get(timeout=300)
    seconds = time.perf_counter() - began
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    print(json.dumps({
        "seconds": seconds, "cpu": cpu, "done": sum(one["saved"] for one in done)
    }))  # fmt: skip


main()
