"""The library's tables, version by version: books, their vectors, and readers' own data.

Rule 1:  a migration that was released is never changed; a new one is added behind it.
"""

import json

from bookline.book import Book
from bookline.stores.catalogue import KEEP_ENTRY, entry
from bookline.stores.database import Migration, PerProduct, Row, Session
from bookline.values import Json

COLUMNS = """
    CREATE TABLE books (
        isbn TEXT PRIMARY KEY,
        isbn10 TEXT,
        title TEXT NOT NULL,
        subtitle TEXT,
        authors TEXT NOT NULL,
        description TEXT,
        publisher TEXT,
        publication_date TEXT,
        page_count INTEGER,
        language TEXT,
        categories TEXT NOT NULL,
        cover_url TEXT,
        metadata_source TEXT NOT NULL,
        metadata_source_id TEXT,
        cover_key TEXT,
        cover_content_type TEXT,
        cover_width INTEGER,
        cover_height INTEGER,
        cover_sha256 TEXT,
        cover_source_url TEXT,
        cover_fetched_at TEXT,
        embedding_model TEXT,
        source TEXT NOT NULL,
        source_id TEXT,
        job_id TEXT NOT NULL,
        imported_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    );
    CREATE INDEX books_last_first ON books (updated_at DESC, isbn DESC);
    CREATE TABLE vectors (
        isbn TEXT NOT NULL,
        model TEXT NOT NULL,
        dimensions INTEGER NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY (isbn, model)
    );
    CREATE INDEX vectors_of_a_model ON vectors (model, dimensions);
"""

DOCUMENTS = """
    CREATE TABLE documents (
        isbn TEXT PRIMARY KEY,
        document TEXT NOT NULL,
        embedding_model TEXT,
        updated_at TEXT NOT NULL,
        locked TEXT NOT NULL DEFAULT '[]'
    );
    CREATE TABLE reading (
        isbn TEXT NOT NULL,
        user_id TEXT NOT NULL,
        document TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        PRIMARY KEY (user_id, isbn)
    );
    CREATE INDEX reading_of_a_book ON reading (isbn);
"""
"""``documents.document`` is the whole book without its vector; ``embedding_model`` says which of
the vectors is the book's; ``locked`` lists the fields that an import leaves as they are."""

_FIRST_METADATA = {
    "isbn": "isbn", "isbn10": "isbn10", "title": "title", "subtitle": "subtitle",
    "description": "description", "publisher": "publisher",
    "publicationDate": "publication_date", "pageCount": "page_count", "language": "language",
    "coverUrl": "cover_url", "source": "metadata_source", "sourceId": "metadata_source_id",
}  # fmt: skip
_FIRST_COVER = {
    "key": "cover_key", "contentType": "cover_content_type", "width": "cover_width",
    "height": "cover_height", "sha256": "cover_sha256", "sourceUrl": "cover_source_url",
    "fetchedAt": "cover_fetched_at",
}  # fmt: skip
_FIRST_PROVENANCE = {
    "source": "source", "sourceId": "source_id", "jobId": "job_id",
    "importedAt": "imported_at", "updatedAt": "updated_at",
}  # fmt: skip


def columns_to_documents(session: Session) -> None:
    """Each book of the first tables becomes one document."""
    for row in session.execute("SELECT * FROM books"):
        session.execute(
            "INSERT INTO documents (isbn, document, embedding_model, updated_at) "
            "VALUES (:isbn, :document, :model, :updated_at)",
            {"isbn": row["isbn"], "document": json.dumps(_document(row), ensure_ascii=False),
             "model": row["embedding_model"], "updated_at": row["updated_at"]},
        )  # fmt: skip


def _document(row: Row) -> Json:
    """As the books of that version were written, for good."""
    lists = {name: json.loads(row[name]) for name in ("authors", "categories")}
    return {
        "metadata": {**_named(row, _FIRST_METADATA), **lists},
        "cover": None if row["cover_key"] is None else _named(row, _FIRST_COVER),
        "embedding": None,
        "provenance": _named(row, _FIRST_PROVENANCE),
    }


def _named(row: Row, columns: dict[str, str]) -> Json:
    return {name: row[column] for name, column in columns.items()}


IN_PLACE = """
    DROP TABLE books;
    ALTER TABLE documents RENAME TO books;
    CREATE INDEX books_last_first ON books (updated_at DESC, isbn DESC);
"""

CATALOGUE = """
    DROP INDEX books_last_first;
    CREATE TABLE catalogue (
        isbn TEXT PRIMARY KEY,
        searched TEXT NOT NULL,
        authors TEXT NOT NULL,
        title_key TEXT NOT NULL,
        author_key TEXT NOT NULL,
        year_key INTEGER NOT NULL,
        language TEXT NOT NULL,
        updated_at TEXT NOT NULL
    );
    CREATE INDEX catalogue_recent ON catalogue (updated_at, isbn);
    CREATE INDEX catalogue_title ON catalogue (title_key, isbn);
    CREATE INDEX catalogue_author ON catalogue (author_key, title_key, isbn);
    CREATE INDEX catalogue_year ON catalogue (year_key, title_key, isbn);
    CREATE TABLE removed (job_id TEXT PRIMARY KEY, isbn TEXT NOT NULL);
    CREATE TABLE numbered_vectors (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        isbn TEXT NOT NULL,
        model TEXT NOT NULL,
        dimensions INTEGER NOT NULL,
        vector BLOB NOT NULL
    );
    INSERT INTO numbered_vectors (isbn, model, dimensions, vector)
        SELECT isbn, model, dimensions, vector FROM vectors;
    DROP TABLE vectors;
    ALTER TABLE numbered_vectors RENAME TO vectors;
    CREATE UNIQUE INDEX vectors_of_a_book ON vectors (isbn, model);
    CREATE INDEX vectors_of_a_model ON vectors (model, dimensions, id);
"""
"""``catalogue`` is the narrow table that lists and literal searches read (catalogue.py);
``removed`` names the jobs whose book was deleted while they ran: what they save is not kept."""


def books_to_catalogue(session: Session) -> None:
    """Each book gets its row there, as catalogue.py writes it at that book's next change."""
    for row in session.execute("SELECT isbn, document FROM books"):
        session.execute(KEEP_ENTRY, entry(Book.from_stored(json.loads(row["document"]))))


def trigrams_and_size(session: Session) -> None:
    """On PostgreSQL: an index of the catalogue's trigrams, and a size that need not be counted."""
    for statement in (*_TRIGRAMS, *_SIZE):
        session.execute(statement)


_TRIGRAMS = (
    """CREATE FUNCTION trigrams(text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
       RETURN ARRAY(SELECT DISTINCT substr($1, at::int, 3)
                    FROM generate_series(1, length($1) - 2) AS at)""",
    """CREATE INDEX catalogue_trigrams ON catalogue USING gin (trigrams(searched))
       WITH (gin_pending_list_limit = 1024)""",
)
"""Of what the server has by itself: pg_trgm would be one more thing to install. What was kept last
waits in a list of at most 1 MB, which a search reads through: a book costs 0.2 ms instead of 1."""

_COUNT = """CREATE OR REPLACE FUNCTION count_catalogue() RETURNS trigger LANGUAGE plpgsql
       SET search_path FROM CURRENT AS $$
       DECLARE number bigint;
       BEGIN
           INSERT INTO catalogue_changes (books)
               SELECT CASE TG_OP WHEN 'DELETE' THEN -count(*) WHEN 'INSERT' THEN count(*) ELSE 0 END
               FROM changed HAVING count(*) > 0
               RETURNING id INTO number;
           IF number % 100 = 0 THEN
               WITH gone AS (
                   DELETE FROM catalogue_changes WHERE ctid = ANY(ARRAY(
                       SELECT ctid FROM catalogue_changes FOR UPDATE SKIP LOCKED))
                   RETURNING books)
               INSERT INTO catalogue_changes (books)
                   SELECT sum(books) FROM gone HAVING count(*) > 0;
           END IF;
           RETURN NULL;
       END $$"""
"""An update counts 0 books; databases of before LANGUAGE_AND_VERSION have it without updates."""

_SIZE = (
    "CREATE TABLE catalogue_changes (id bigint GENERATED ALWAYS AS IDENTITY, books bigint)",
    "INSERT INTO catalogue_changes (books) SELECT count(*) FROM catalogue",
    _COUNT,
    """CREATE TRIGGER catalogue_more AFTER INSERT ON catalogue REFERENCING NEW TABLE AS changed
       FOR EACH STATEMENT EXECUTE FUNCTION count_catalogue()""",
    """CREATE TRIGGER catalogue_less AFTER DELETE ON catalogue REFERENCING OLD TABLE AS changed
       FOR EACH STATEMENT EXECUTE FUNCTION count_catalogue()""",
    """CREATE VIEW catalogue_size AS
       SELECT coalesce(sum(books), 0)::bigint AS total FROM catalogue_changes""",
)
"""Each write adds a row with how many books it brought, so no two wait for each other as they would
for one counter; every hundredth adds up those that nobody else has locked. A trigger, because
nodes of an earlier version may still write."""

TRIGRAMS_AND_SIZE = PerProduct(
    sqlite="CREATE VIEW catalogue_size AS SELECT count(*) AS total FROM catalogue;",
    postgres=trigrams_and_size,
)


def language_and_version(session: Session) -> None:
    """On PostgreSQL: an index of the languages, and another version with each change of a book."""
    for statement in _LANGUAGE_AND_VERSION:
        session.execute(statement)


_LANGUAGE_AND_VERSION = (
    "CREATE INDEX catalogue_language ON catalogue (language)",
    _COUNT,
    """CREATE TRIGGER catalogue_other AFTER UPDATE ON catalogue REFERENCING NEW TABLE AS changed
       FOR EACH STATEMENT EXECUTE FUNCTION count_catalogue()""",
    """CREATE VIEW catalogue_version AS
       SELECT concat_ws(' ', count(*), max(id), sum(id)) AS version FROM catalogue_changes""",
)
"""What a transaction changed has rows of its own, seen with it: so the sum of their ids is another
one. The newest id alone would not do: ids are given before the commit, and not in its order."""

LANGUAGE_AND_VERSION = PerProduct(postgres=language_and_version)

MIGRATIONS: tuple[Migration, ...] = (
    COLUMNS, DOCUMENTS, columns_to_documents, IN_PLACE, CATALOGUE, books_to_catalogue,
    TRIGRAMS_AND_SIZE, LANGUAGE_AND_VERSION,
)  # fmt: skip
