"""What readers say of books, in the library's tables: one row a book and reader.

Way:     library.py → here
Rule 1:  the row may be there before its book: a reader's data never waits for an import.
"""

import json
from collections.abc import Callable, Sequence

from bookline.reading import Reading, ReadingOf, read_stored
from bookline.stores.database import Session

_FIND = "SELECT document, updated_at FROM reading WHERE user_id = :user_id AND isbn = :isbn"
_KEEP = """
    INSERT INTO reading (user_id, isbn, document, updated_at)
    VALUES (:user_id, :isbn, :document, :updated_at)
    ON CONFLICT (user_id, isbn) DO UPDATE SET document = excluded.document,
        updated_at = excluded.updated_at
"""
_REMOVE = "DELETE FROM reading WHERE user_id = :user_id AND isbn = :isbn"


def keep(session: Session, readings: Sequence[ReadingOf]) -> None:
    """Newer values win; a reading that is older than what is there only fills gaps."""
    for one in readings:
        if not one.reading:
            continue
        older, at = _find(session, one.isbn, one.user_id)
        late, early = (older, one.reading) if one.at < at else (one.reading, older)
        _keep(session, one.isbn, one.user_id, early.merged(late), max(at, one.at))


def change(
    session: Session, isbn: str, user_id: str | None, at: str, work: Callable[[Reading], Reading]
) -> None:
    """What is empty afterwards is gone."""
    older, before = _find(session, isbn, user_id)
    changed = work(older)
    if changed:
        _keep(session, isbn, user_id, changed, max(before, at))
    else:
        session.execute(_REMOVE, {"user_id": user_id or "", "isbn": isbn})


def _find(session: Session, isbn: str, user_id: str | None) -> tuple[Reading, str]:
    rows = session.execute(_FIND, {"user_id": user_id or "", "isbn": isbn})
    return (read_stored(rows[0]["document"]), rows[0]["updated_at"]) if rows else (Reading(), "")


def _keep(session: Session, isbn: str, user_id: str | None, reading: Reading, at: str) -> None:
    document = json.dumps(reading.to_json(), ensure_ascii=False, separators=(",", ":"))
    values = {"user_id": user_id or "", "isbn": isbn, "document": document, "updated_at": at}
    session.execute(_KEEP, values)
