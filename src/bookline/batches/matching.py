"""How well a book that a provider names fits the title and author of a row.

Way:      lookup.py → here
Rule 1:   both must fit: the score is the lower of the two. 1 is equal after normalising.
Rule 2:   a book is taken without asking only when it is sure (``sure_one``): a wrong book in a
          library is worse than a question.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from bookline.progress.batches import Candidate

SURE: Final = 0.95  # docs/contract.md
NEXT_MOST: Final = 0.7  # docs/contract.md
MOST_CANDIDATES: Final = 5  # docs/contract.md
LEAST: Final = 0.4  # our choice: what fits less is not worth a look
_WITHOUT_SUBTITLE: Final = 0.97  # the same title, one of the two with a subtitle more
_SAME_INITIALS: Final = 0.97
_ONLY_SURNAME: Final = 0.5
_ALIKE_MOST: Final = 0.94  # what is only alike is never sure
_TITLE_ALONE: Final = 0.9  # nor is what has no author to compare
_CHARS: Final = 300  # of a title; SequenceMatcher takes the square of it

_SERIES: Final = re.compile(r"\s*[(\[][^()\[\]]*[)\]]\s*$")
_SUBTITLE: Final = re.compile(r"\s*(?::|;|\s[-–—/]\s).*$", re.DOTALL)
_ARTICLE: Final = re.compile(
    r"^(?:the|an?|der|die|das|ein|eine|le|la|les|l|un|une|el|los|las|il|lo|gli|i|o|os|as|de|het|een)"
    r"\s+(?=\S)"
)
_APOSTROPHES: Final = re.compile("['’ʼ`´]")


def ranked(title: str, authors: Sequence[str], found: Iterable[Candidate]) -> list[Candidate]:
    """The different works, the best first, each with its score; those with an ISBN before equals.

    Several editions of one work are one candidate: by the source's own number of the work, where
    it has one, else by title and author.
    """
    scored = [replace(one, score=score(title, authors, one)) for one in found]
    works: dict[str, Candidate] = {}
    for candidate in sorted(scored, key=_rank, reverse=True):
        works.setdefault(candidate.work or _work_of(candidate), candidate)
    numbered = {_work_of(one) for one in works.values() if one.work}
    return [
        one
        for one in works.values()
        if one.score >= LEAST and (one.work or _work_of(one) not in numbered)
    ]


def _work_of(candidate: Candidate) -> str:
    return f"{main_title(candidate.title)}\n{_surnames(candidate.authors)}"


def sure_one(best: Sequence[Candidate]) -> Candidate | None:
    """The only work that fits, if an edition of it with an ISBN is known."""
    if not best or best[0].isbn is None or best[0].score < SURE:
        return None
    return None if len(best) > 1 and best[1].score > NEXT_MOST else best[0]


def to_choose_from(best: Sequence[Candidate]) -> list[Candidate]:
    """Those with an ISBN, each once, and at most MOST_CANDIDATES."""
    by_isbn: dict[str, Candidate] = {}
    for one in best:
        if one.isbn is not None:
            by_isbn.setdefault(one.isbn, one)
    return list(by_isbn.values())[:MOST_CANDIDATES]


def score(title: str, authors: Sequence[str], candidate: Candidate) -> float:
    """0 to 1."""
    by_title = _score_title(title, candidate)
    if not authors or not candidate.authors:
        return round(by_title * _TITLE_ALONE, 3)
    by_author = max(_score_name(one, other) for one in authors for other in candidate.authors)
    return round(min(by_title, by_author), 3)


def _score_title(title: str, candidate: Candidate) -> float:
    whole = folded(_SERIES.sub("", title))
    other = folded(f"{candidate.title} {candidate.subtitle or ''}")
    if whole and whole in {
        other,
        folded(candidate.title),
        folded(_SERIES.sub("", candidate.title)),
    }:
        return 1.0
    main, other_main = main_title(title), main_title(candidate.title)
    if main and main == other_main and (main == whole or not candidate.subtitle):
        return _WITHOUT_SUBTITLE
    return _alike(main, other_main)


def main_title(title: str) -> str:
    """A title without its series and subtitle, normalised."""
    bare = _SERIES.sub("", title[:_CHARS])
    return folded(_SUBTITLE.sub("", bare) or bare)


def folded(text: str) -> str:
    """Small letters and digits alone: no accents, marks and leading article."""
    text = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text[:_CHARS]).replace("&", " and "))
    text = "".join(char for char in text.casefold() if not unicodedata.combining(char))
    words = " ".join("".join(char if char.isalnum() else " " for char in text).split())
    return _ARTICLE.sub("", words)


def _score_name(one: str, other: str) -> float:
    mine, theirs = _names(one), _names(other)
    if not mine or not theirs:
        return 0.0
    if sorted(mine) == sorted(theirs) or "".join(mine) == "".join(theirs):
        return 1.0
    if mine[-1] == theirs[-1]:
        return _SAME_INITIALS if _may_be_same(mine[:-1], theirs[:-1]) else _ONLY_SURNAME
    return _alike("".join(mine), "".join(theirs)) * _ALIKE_MOST


def _may_be_same(mine: Sequence[str], theirs: Sequence[str]) -> bool:
    """Given names that do not differ: "j r r" and "john ronald", "jane" and none."""
    mine, theirs = _initials(mine, theirs), _initials(theirs, mine)
    pairs = zip(mine, theirs, strict=False)
    return all(one.startswith(other) or other.startswith(one) for one, other in pairs)


def _initials(names: Sequence[str], beside: Sequence[str]) -> Sequence[str]:
    """ "jrr" as "j", "r", "r" where the other name is written in parts."""
    if len(names) == 1 and len(names[0]) <= 3 and len(beside) == len(names[0]):
        return list(names[0])
    return names


def _names(name: str) -> list[str]:
    """A name's parts, the surname last: "Orwell, George" is "george orwell"."""
    last, comma, first = name[:_CHARS].partition(",")
    text = f"{first} {last}" if comma and first.strip() else name[:_CHARS]
    text = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text)).casefold()
    kept = "".join(char if char.isalnum() else " " for char in text if not _is_mark(char))
    return kept.split()


def _is_mark(char: str) -> bool:
    return bool(unicodedata.combining(char))


def _surnames(authors: Sequence[str]) -> str:
    return _names(authors[0])[-1] if authors and _names(authors[0]) else ""


def _alike(one: str, other: str) -> float:
    if not one or not other:
        return 0.0
    from difflib import SequenceMatcher  # a start of the Worker, or of a server, needs none

    return SequenceMatcher(None, one, other, autojunk=False).ratio() * _ALIKE_MOST


def _rank(candidate: Candidate) -> tuple[float, bool]:
    return candidate.score, candidate.isbn is not None
