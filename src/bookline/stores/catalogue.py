"""What the library can be asked by: folded text, sort keys, and the questions themselves.

Way:     library.py keeps an entry beside each book and asks with ``conditions``
Rule 1:  text is folded alike in what is kept and in what is asked: case, accents and hyphens do
         not matter. A word matches as a substring, so ``%`` and ``_`` mean themselves.
Rule 2:  every sort ends in the ISBN and is ascending or descending as a whole: a page begins where
         the row value of the last one ended.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bookline.book import Book
from bookline.catalogue import BookQuery
from bookline.errors import InvalidIsbn, Refused
from bookline.isbn import read_isbn
from bookline.stores.cursors import read_cursor, write_cursor

TRIGRAM = 3  # characters
MOST_WORDS = 50  # D1 takes 100 values in one statement
# Our choice: two of them, of four bytes each, fit into a row of a PostgreSQL index (2,704 bytes).
KEY_CHARS = 200
_MARKS = re.compile("[\u0300-\u036f]")
_BLANKS = re.compile(r"[\s\-\u2010-\u2015\u2212\ufe58\ufe63\uff0d\0]+")
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "’": "'"}
)
"""What Unicode does not take apart into a letter and its accent."""


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of the catalogue."""

    columns: tuple[str, ...]
    kinds: tuple[type, ...]
    descending: bool = False


SORTS: Mapping[str, Sort] = {
    "recent": Sort(("updated_at", "isbn"), (str, str), descending=True),
    "title": Sort(("title_key", "isbn"), (str, str)),
    "author": Sort(("author_key", "title_key", "isbn"), (str, str, str)),
    "year": Sort(("year_key", "title_key", "isbn"), (int, str, str)),
}


KEEP_ENTRY = """
    INSERT INTO catalogue (isbn, searched, authors, title_key, author_key, year_key, language,
                           updated_at)
    VALUES (:isbn, :searched, :authors, :title_key, :author_key, :year_key, :language, :updated_at)
    ON CONFLICT (isbn) DO UPDATE SET searched = excluded.searched, authors = excluded.authors,
        title_key = excluded.title_key, author_key = excluded.author_key,
        year_key = excluded.year_key, language = excluded.language,
        updated_at = excluded.updated_at
"""


def fold(text: str) -> str:
    """Without case, accents (U+0300 to U+036F) and hyphens; single spaces."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    plain = unicodedata.normalize("NFC", _MARKS.sub("", apart)).casefold().translate(_LETTERS)
    return _BLANKS.sub(" ", plain).strip()


def sort_key(text: str) -> str:
    """Folded, and as much of it as an order needs."""
    return fold(text)[:KEY_CHARS]


def words(text: str) -> list[str]:
    """The folded words to look for, each once, the longest (the rarest, mostly) first.

    Raises: Refused for more than a statement can take.
    """
    found = sorted(set(fold(text).split(" ")) - {""}, key=lambda word: (-len(word), word))
    if len(found) > MOST_WORDS:
        raise Refused("INVALID_REQUEST", f"q and author may have {MOST_WORDS} different words")
    return found


def entry(book: Book) -> dict[str, object]:
    """The book's row in the catalogue."""
    facts = book.metadata
    year = re.match(r"\d{4}", facts.publication_date or "")
    authors = fold(" ".join(facts.authors))
    title = fold(facts.title)
    return {
        "isbn": book.isbn,
        "searched": f"{book.isbn} {(facts.isbn10 or '').lower()} {title} {authors}",
        "authors": authors,
        "title_key": title[:KEY_CHARS],
        "author_key": f"0{sort_key(facts.author)}" if facts.author else "1",  # unknown last
        "year_key": -int(year[0]) if year else 0,  # newest first, unknown last
        "language": (facts.language or "").lower(),
        "updated_at": book.provenance.updated_at,
    }


def conditions(query: BookQuery) -> tuple[list[str], dict[str, object]]:
    """The conditions that a book of the answer meets, and their values. Raises: Refused."""
    terms: list[str] = []
    values: dict[str, object] = {}
    isbn = _whole_isbn(query.q)
    if isbn is not None:
        terms, values = ["isbn = :isbn"], {"isbn": isbn}
    else:
        _contain(terms, values, "searched", words(query.q))
    _contain(terms, values, "authors", words(query.author))
    if query.language:
        # RFC 4647, basic filtering: "pt" finds "pt-BR" too, which lies from "pt-" to before "pt.".
        terms.append(
            "(language = :language OR (language >= :variant AND language < :behind_variants))"
        )
        language = query.language.lower()
        variants = {"variant": f"{language}-", "behind_variants": f"{language}."}
        values |= {"language": language, **variants}
    return terms, values


def trigrams(values: Mapping[str, object]) -> list[str]:
    """For the words among the values of ``conditions``: what the index of trigrams is asked for.

    No more than they say themselves, since authors are searched, too; nothing for shorter words.
    """
    return [
        f"trigrams(searched) @> trigrams(:{name})"
        for name, word in values.items()
        if name.startswith(("searched_", "authors_")) and len(str(word)) >= TRIGRAM
    ]


def _contain(
    terms: list[str], values: dict[str, object], column: str, wanted: Sequence[str]
) -> None:
    for number, word in enumerate(wanted):
        terms.append(f"instr({column}, :{column}_{number}) > 0")
        values[f"{column}_{number}"] = word


def _whole_isbn(q: str) -> str | None:
    try:
        return read_isbn(q).isbn13
    except InvalidIsbn:
        return None


def write_place(name: str, place: tuple[Any, ...]) -> str:
    """The cursor behind this place of a list that is sorted so."""
    return write_cursor(name, *place)


def read_place(name: str, cursor: str) -> tuple[Any, ...]:
    """The place. Raises: Refused for a cursor of another list."""
    found, *place = read_cursor(cursor, str, *SORTS[name].kinds)
    if found != name or not all(_is_text(part) for part in place):
        raise Refused("INVALID_REQUEST", "the cursor is not one of this list")
    return tuple(place)


def _is_text(part: object) -> bool:
    """Half of a character pair, which JSON can hold, is no text for a database."""
    try:
        return "\0" not in str(part).encode().decode()
    except UnicodeEncodeError:
        return False
