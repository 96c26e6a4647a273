# mypy: ignore-errors
"""The four steps of an import, as short as a tutorial has them: what every peer runs.

Not here: Bookline's own checks, retries, merge rules and events. The peers do less.
"""

import hashlib
import os
import sqlite3
import threading
from functools import cache
from pathlib import Path

import requests
import wordllama

GOOGLE = os.environ["BOOKLINE_GOOGLE_BOOKS_URL"]
KEY = os.environ.get("BOOKLINE_GOOGLE_BOOKS_API_KEY", "")
FOLDER = Path(os.environ["PEER_FOLDER"])
HERE = threading.local()


def client():
    if not hasattr(HERE, "client"):
        HERE.client = requests.Session()
    return HERE.client


@cache
def model():
    home = Path(wordllama.__file__).parent
    return wordllama.WordLlama.load(cache_dir=home, disable_download=True)


def fetch_metadata(isbn):
    asked = {"q": f"isbn:{isbn}", "key": KEY}
    answer = client().get(f"{GOOGLE}/volumes", params=asked, timeout=15)
    answer.raise_for_status()
    book = answer.json()["items"][0]["volumeInfo"]
    images = book.get("imageLinks") or {}
    return {
        "isbn": isbn,
        "title": book["title"],
        "authors": book.get("authors", []),
        "description": book.get("description", ""),
        "cover": images.get("thumbnail"),
    }


def upload_cover(isbn, url):
    answer = client().get(url, timeout=20)
    answer.raise_for_status()
    path = FOLDER / "covers" / f"{isbn}.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(answer.content)
    return {"key": path.name, "sha256": hashlib.sha256(answer.content).hexdigest()}


def generate_embedding(book):
    text = f"{book['title']} by {', '.join(book['authors'])}. {book['description']}"
    return [round(float(one), 6) for one in model().embed(text)[0]]


def save(book, cover, vector):
    database = sqlite3.connect(FOLDER / "library.db", timeout=30)
    with database:
        database.execute(
            "CREATE TABLE IF NOT EXISTS books (isbn PRIMARY KEY, title, cover, vector)"
        )
        database.execute(
            "INSERT INTO books VALUES (?, ?, ?, ?) "
            "ON CONFLICT (isbn) DO UPDATE SET title = excluded.title",
            (book["isbn"], book["title"], cover and cover["key"], repr(vector)),
        )
    database.close()
    return {"saved": True}
