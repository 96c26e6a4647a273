"""Nearest vectors, in each product's own words.

Way:     library.py asks with a ``NEAREST``; opening.py hands ``prepare`` to SQLite's connections
Source:  https://alexgarcia.xyz/sqlite-vec/api-reference.html#vec_distance_cosine,
         https://github.com/pgvector/pgvector#querying
"""

import logging
import math
import sqlite3

import sqlite_vec

log = logging.getLogger(__name__)

MMAP_BYTES = 256 * 2**20  # our choice: a search reads all vectors; mapped it takes 2/3 of the time
NEAREST = """
    SELECT isbn, vec_distance_cosine(vector, :vector) AS distance FROM vectors
    WHERE model = :model AND dimensions = :dimensions
    ORDER BY distance NULLS LAST, isbn LIMIT :limit
"""
"""ISBN and cosine distance; NULL for a vector without a direction."""
NEAREST_POSTGRES = """
    SELECT isbn, nullif(vector <=> :vector, 'NaN') AS distance FROM vectors
    WHERE model = :model AND dimensions = :dimensions
    ORDER BY distance NULLS LAST, isbn LIMIT :limit
"""
"""The same from pgvector, which says NaN where there is no direction."""


def prepare(connection: sqlite3.Connection) -> None:
    """Gives the connection ``vec_distance_cosine``.

    Many Pythons (pyenv's, macOS's) are built without SQLite's extensions. There the same function
    comes from numpy, at a third of the speed: 32 ms against 9 for 10,000 vectors of 256 numbers.
    """
    connection.execute(f"PRAGMA mmap_size={MMAP_BYTES}")
    try:
        connection.enable_load_extension(True)
        sqlite_vec.load(connection)
        connection.enable_load_extension(False)
    except (AttributeError, sqlite3.Error) as error:
        log.debug("numpy measures distances, as sqlite-vec cannot be loaded: %s", error)
        connection.create_function("vec_distance_cosine", 2, cosine_distance, deterministic=True)


def cosine_distance(one: bytes, other: bytes) -> float | None:
    """1 - cosine; None for a vector without a direction. As sqlite-vec has it."""
    import numpy

    a, b = numpy.frombuffer(one, "<f4"), numpy.frombuffer(other, "<f4")
    lengths = math.sqrt(a.dot(a) * b.dot(b))
    return 1.0 - float(a.dot(b)) / lengths if lengths else None
