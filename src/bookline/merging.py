"""Which value of a book stands when two are known: one source beside another, a new import over
what the library has.

| field           | two sources, one import  | a new import over the library             |
|-----------------|--------------------------|-------------------------------------------|
| title           | the first's; the other's | the new one; the old one where only that  |
|                 | where only that is one,  | is a title and no placeholder             |
|                 | with what the first      |                                           |
|                 | lacks of the next two    |                                           |
| subtitle        | the first's; see title   | the new one where there is one            |
| authors         | the first's; see title   | the new ones where there are any          |
| publicationDate | the first that has it    | the new one; the old one if more exact    |
| language        | the first that has it    | the new one; the old one if it is the     |
|                 |                          | same more exactly (``pt-BR`` and ``pt``)  |
| description     | the first that has it    | the new one where there is one            |
| publisher       | the first that has it    | the new one where there is one            |
| pageCount       | the first that has it    | the new one where there is one            |
| categories      | the first that has any   | the new ones where there are any          |
| cover           | the first that has it    | the new one where one was stored          |

Way:      steps/metadata.py completes, stores/ and steps/save.py lay over → here
Rule 1:   empty never replaces, less exact never replaces more exact, a placeholder never a title.
Rule 2:   a locked field stays as it is, empty too, whatever an import brings.
Rule 3:   each field remembers the source that gave it (``fields``).
Rule 4:   standard library only: the Cloudflare Worker runs this file as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from bookline.book import FIELDS, Book, Metadata
from bookline.placeholders import is_no_title

COMPLETED: Final = (
    "description", "cover", "pageCount", "publicationDate", "publisher", "language", "categories",
)  # fmt: skip
"""What ``auto`` asks the next sources for, where the first one left it empty."""
WITH_TITLE: Final = ("subtitle", "authors")
"""What it asks for besides, where the title is a placeholder."""


# ------------------------------------------------------------------ two sources, one import
def missing(found: Metadata) -> frozenset[str]:
    """The fields that another source may fill."""
    lacks = {name for name in COMPLETED if not getattr(found, FIELDS[name])}
    if is_no_title(found.title):  # a record that nobody has filled in yet
        lacks |= {"title"} | {name for name in WITH_TITLE if not getattr(found, FIELDS[name])}
    return frozenset(lacks)


def completed(found: Metadata, other: Metadata) -> Metadata:
    """``found`` with what it lacks from ``other``; what it has stays."""
    gained = {
        name: value
        for name in missing(found)
        if (value := getattr(other, FIELDS[name])) and not (name == "title" and is_no_title(value))
    }
    if not gained:
        return found
    return replace(
        found,
        **{FIELDS[name]: value for name, value in gained.items()},
        fields={**found.fields, **{name: _source_of(other, name) for name in gained}},
    )


def _source_of(metadata: Metadata, name: str) -> str:
    return metadata.fields.get(name, metadata.source)


# ------------------------------------------------------------------ a new import over the library
def laid_over(new: Book, old: Book) -> Book:
    """The book as it stands after ``new`` came over ``old``. A field that is locked in either stays
    as it is there; locked in both, as it is in ``new``.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    locked = tuple(dict.fromkeys((*old.locked, *new.locked)))
    for name, attribute in FIELDS.items():
        if name == "cover":
            continue
        ours, theirs = getattr(new.metadata, attribute), getattr(old.metadata, attribute)
        stays = _is_kept(name, new, old, replaces=_replaces(name, ours, theirs))
        values[attribute] = theirs if stays else ours
        _name_source(sources, name, old if stays else new, new)
    by_cover = old if _is_kept("cover", new, old, replaces=new.cover is not None) else new
    _name_source(sources, "cover", by_cover, new)
    same_source = new.metadata.source == old.metadata.source
    metadata = replace(
        new.metadata,
        **values,
        isbn10=new.metadata.isbn10 or old.metadata.isbn10,
        cover_url=by_cover.metadata.cover_url or new.metadata.cover_url or old.metadata.cover_url,
        source_id=new.metadata.source_id or (old.metadata.source_id if same_source else None),
        fields={},
    )
    return Book(
        metadata=metadata,
        cover=by_cover.cover,
        embedding=new.embedding or old.embedding,
        provenance=replace(new.provenance, imported_at=old.provenance.imported_at, fields=sources),
        locked=locked,
        edited_at=max(new.edited_at or "", old.edited_at or "") or None,
    )


def combined(book: Book, standing: Book) -> Book:
    """The one that was imported last laid over the other: by the books' own times (and job ids
    where these are the same), not by who comes first.

    So an entry of the fallback store that is drained late fills gaps, and never turns back what
    an import has brought since.
    """
    behind = _when(book) < _when(standing)
    late, early = (standing, book) if behind else (book, standing)
    merged = laid_over(late, early)
    first = min(book.provenance.imported_at, standing.provenance.imported_at)
    return replace(merged, provenance=replace(merged.provenance, imported_at=first))


def _when(book: Book) -> tuple[str, str]:
    return book.provenance.updated_at, book.provenance.job_id


def _name_source(sources: dict[str, str], name: str, giver: Book, new: Book) -> None:
    """Only what is not the new book's own source is named."""
    source = giver.sources.get(name)
    if source is not None and source != new.provenance.source:
        sources[name] = source


def _is_kept(name: str, new: Book, old: Book, *, replaces: bool) -> bool:
    """Whether the old book's field stays."""
    if name in new.locked:
        return False
    return name in old.locked or not replaces


def _replaces(name: str, new: Any, old: Any) -> bool:
    if not new:
        return False
    return not old or _BETTER.get(name, _always)(new, old)


def _always(new: str, old: str) -> bool:
    return True


def _is_title_or_none_is(new: str, old: str) -> bool:
    return is_no_title(old) or not is_no_title(new)


def _is_as_exact(new: str, old: str) -> bool:
    return len(new) >= len(old)  # YYYY, YYYY-MM, YYYY-MM-DD


def _is_no_less_of_the_same(new: str, old: str) -> bool:
    return not old.startswith(f"{new}-")


_BETTER: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "title": _is_title_or_none_is,
    "publicationDate": _is_as_exact,
    "language": _is_no_less_of_the_same,
}
