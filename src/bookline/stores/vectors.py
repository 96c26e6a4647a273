"""Nearest vectors: by pgvector, or compared in memory for a product without a vector type.

Way:      library.py asks within a read
Rule 1:   the table is the truth: vectors that came since the last search are read by their ids,
          and one that is gone is never an answer.
Units:    10,000 vectors of 256 numbers take 10 MB, kept from the first search on. A search among
          50,000 takes 8 ms (benchmarks/library.py); sqlite-vec reads them anew each time: 45 ms.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bookline.book import Embedding
from bookline.stores.database import Session

_NEWER = """
    SELECT id, isbn, vector FROM vectors
    WHERE model = :model AND dimensions = :dimensions AND id > :id ORDER BY id LIMIT :limit
"""
_IDS = "SELECT id FROM vectors WHERE model = :model AND dimensions = :dimensions"
_STILL = "SELECT id FROM vectors WHERE id IN :ids"
READ_AT_ONCE = 10_000  # rows

_PGVECTOR = """
    SELECT isbn, nullif(vector <=> :vector, 'NaN') AS distance FROM vectors
    WHERE model = :model AND dimensions = :dimensions
    ORDER BY distance NULLS LAST, isbn LIMIT :limit
"""
"""NULL for a vector without a direction. https://github.com/pgvector/pgvector#querying"""
INDEX = "vectors_near_{dimensions}"
"""The name of a large library's index (vector_index.py); its form is that of ``by_index``."""
IS_INDEXED = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND indisvalid"
LOOKED_AT = 200  # our choice: of the graph's nodes in one search; no answer is longer
_LOOK_AT = f"""SELECT set_config('hnsw.ef_search', '{LOOKED_AT}', false),
                      set_config('hnsw.iterative_scan', 'strict_order', false)"""


def nearest_by_pgvector(
    session: Session, asked: Embedding, limit: int
) -> Sequence[tuple[str, float]]:
    """ISBN and cosine, nearest first, among the vectors of the same model and dimensions.

    Where their index is (a large library's), one of a hundred may be missing.

    Raises: EmbeddingRefused when the vector asked for is none.
    """
    which = {"model": asked.model, "dimensions": asked.dimensions}
    values = {**which, "vector": asked.to_bytes(), "limit": limit}
    statement = _PGVECTOR
    if session.execute(IS_INDEXED, {"name": INDEX.format(dimensions=asked.dimensions)}):
        session.execute(_LOOK_AT)
        statement = by_index(asked.dimensions)
    rows = session.execute(statement, values)
    near = [row for row in rows if row["distance"] is not None]
    return [(row["isbn"], max(-1.0, min(1.0, 1.0 - row["distance"]))) for row in near]


def by_index(dimensions: int) -> str:
    """The same question in the words of the index, which is of a number of dimensions."""
    vector = f"CAST(vector AS vector({dimensions}))"
    distance = f"{vector} <=> CAST(:vector AS vector({dimensions}))"
    return f"""
        SELECT isbn, nullif(distance, 'NaN') AS distance FROM (
            SELECT isbn, {distance} AS distance FROM vectors
            WHERE dimensions = {dimensions} AND model = :model
            ORDER BY {distance} LIMIT :limit
        ) AS near ORDER BY distance NULLS LAST, isbn
    """


class Nearest:
    """The vectors of each model that was searched. One search at a time."""

    def __init__(self) -> None:
        self._matrices: dict[tuple[str, int], _Matrix] = {}

    def __call__(
        self, session: Session, asked: Embedding, limit: int
    ) -> Sequence[tuple[str, float]]:
        """ISBN and cosine, nearest first, among the vectors of the same model and dimensions.

        Raises: EmbeddingRefused when the vector asked for is none.
        """
        packed = asked.to_bytes()
        key = (asked.model, asked.dimensions)
        matrix = self._matrices.setdefault(key, _Matrix(asked.dimensions))
        which = {"model": asked.model, "dimensions": asked.dimensions}
        matrix.read_newer(session, which)
        found = matrix.nearest(packed, limit)
        there = {row["id"] for row in session.execute(_STILL, {"ids": [one[0] for one in found]})}
        if len(there) < len(found):
            matrix.keep_only({row["id"] for row in session.execute(_IDS, which)})
            found = matrix.nearest(packed, limit)
        return [(isbn, score) for _, isbn, score in found]


class _Matrix:
    """Unit vectors as rows, with their ids and ISBNs."""

    def __init__(self, dimensions: int) -> None:
        import numpy

        self._numpy = numpy
        self._rows: Any = numpy.empty((0, dimensions), "<f4")
        self._isbns: list[str] = []
        self._ids: list[int] = []
        self._places: dict[str, int] = {}
        self._without_direction: set[int] = set()
        self._last_id = 0

    def read_newer(self, session: Session, which: Mapping[str, object]) -> None:
        """All that was kept since the last time; of a book's vectors the newest counts."""
        while True:
            values = {**which, "id": self._last_id, "limit": READ_AT_ONCE}
            rows = session.execute(_NEWER, values)
            if not rows:
                return
            self._add([row["id"] for row in rows], [row["isbn"] for row in rows],
                      b"".join(row["vector"] for row in rows))  # fmt: skip
            self._last_id = rows[-1]["id"]

    def nearest(self, packed: bytes, limit: int) -> list[tuple[int, str, float]]:
        """Id, ISBN, cosine; equal ones by ISBN."""
        numpy = self._numpy
        asked = numpy.frombuffer(packed, "<f4").astype("f8")
        length = float(numpy.linalg.norm(asked))
        count = len(self._ids)
        if not length or not count:
            return []
        # Not ``@``: that takes all cores for 2 ms less, and imports run beside it.
        scores = numpy.einsum("ij,j->i", self._rows[:count], (asked / length).astype("<f4"))
        scores[list(self._without_direction)] = -numpy.inf
        places = range(count)
        if count > limit:
            least = numpy.partition(scores, count - limit)[count - limit]
            places = numpy.nonzero(scores >= least)[0].tolist()
        found = [(self._ids[at], self._isbns[at], float(scores[at])) for at in places]
        found = [one for one in found if one[2] >= -2]
        found.sort(key=lambda one: (-round(one[2], 6), one[1]))
        return [(id_, isbn, max(-1.0, min(1.0, score))) for id_, isbn, score in found[:limit]]

    def keep_only(self, ids: set[int]) -> None:
        """Forgets the vectors that are gone."""
        kept = [at for at, id_ in enumerate(self._ids) if id_ in ids]
        gone = self._without_direction
        self._without_direction = {new for new, old in enumerate(kept) if old in gone}
        self._rows = self._rows[kept]
        self._ids = [self._ids[at] for at in kept]
        self._isbns = [self._isbns[at] for at in kept]
        self._places = {isbn: at for at, isbn in enumerate(self._isbns)}

    def _add(self, ids: Sequence[int], isbns: Sequence[str], packed: bytes) -> None:
        numpy = self._numpy
        fresh = numpy.frombuffer(packed, "<f4").reshape(len(ids), -1)
        # A sum of squares may be beyond 32 bits.
        lengths = numpy.sqrt(numpy.einsum("ij,ij->i", fresh, fresh, dtype="f8"))
        self._make_room(len(self._ids) + len(ids))
        places = [self._place(id_, isbn) for id_, isbn in zip(ids, isbns, strict=True)]
        units = numpy.divide(
            fresh, lengths[:, None], out=numpy.zeros(fresh.shape), where=lengths[:, None] > 0
        )
        self._rows[places] = units  # of equal places the last counts, as everywhere here
        self._without_direction.difference_update(places)
        nowhere = {at for at, length in zip(places, lengths, strict=True) if not length}
        self._without_direction |= nowhere

    def _place(self, id_: int, isbn: str) -> int:
        """The row of a book's vector, which has this id now."""
        place = self._places.setdefault(isbn, len(self._ids))
        if place == len(self._ids):
            self._ids.append(id_)
            self._isbns.append(isbn)
        self._ids[place] = id_
        return place

    def _make_room(self, count: int) -> None:
        if count > len(self._rows):
            numpy = self._numpy
            bigger = numpy.zeros((max(count, len(self._rows) * 5 // 4), self._rows.shape[1]), "<f4")
            bigger[: len(self._ids)] = self._rows[: len(self._ids)]
            self._rows = bigger
