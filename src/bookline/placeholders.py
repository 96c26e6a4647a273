"""What is written where nothing is known: ``[s.n.]``, ``????``, ``TBD``, ``Untitled``.

Way:      providers/ leave such names and publishers out; merging.py never lets such a title win
Rule 1:   a whole value is judged, never a part of one: "Unknown Pleasures" is a title.
Rule 2:   "Anonymous" and "Various" say something, and stay.
Rule 3:   standard library only: the Cloudflare Worker runs this file as it is.
"""

import re
from typing import Final

_DESCRIPTIONS: Final = frozenset(
    {
        "no description", "no description available", "description not available", "no synopsis",
        "no description is available", "no synopsis available", "no summary available",
        "no summary", "no overview available", "description unavailable", "description",
        "synopsis", "keine beschreibung verfügbar", "keine beschreibung", "sin descripción",
        "pas de description", "geen beschrijving beschikbaar", "nessuna descrizione",
        "there is no description for this book", "no description for this book",
        "no product description available", "not yet available",
    }
)  # fmt: skip
_EDGES: Final = " \t\n\r[](){}<>«»‹›\"'“”„‘’`|/\\:;,*"
_MARKS: Final = re.compile(r"[\W_]*", re.UNICODE)
_SPACES: Final = re.compile(r"\s+")
_WORDS: Final = frozenset(
    {
        # English, as shops, exports and programs write it
        "unknown", "unkown", "n/a", "n.a", "na", "none", "null", "nil", "nan", "undefined",
        "unspecified", "not specified", "not given", "not available", "not available (na",
        "not applicable", "not known", "not identified", "not provided", "not listed",
        "missing", "no data", "blank", "empty", "test", "tbd", "tba", "tbc",
        "to be determined", "to be decided", "to be announced", "to be confirmed",
        "to be advised", "to come", "coming soon", "forthcoming",
        # other languages, as library catalogues write it
        "unbekannt", "inconnu", "inconnue", "desconocido", "desconocida", "desconhecido",
        "sconosciuto", "onbekend", "okänd", "ukjent", "ukendt", "tuntematon", "nieznany",
        "neznámý", "ismeretlen", "bilinmiyor", "неизвестен", "неизвестно", "不明", "不详", "未知",
        "ohne angabe", "o. a", "k. a", "keine angabe",
    }
)  # fmt: skip
_NAMES: Final = frozenset(
    {
        "unknown author", "author unknown", "no author", "no author listed", "no author credited",
        "no authors", "author", "authors", "author name", "autor", "auteur", "verfasser",
        "autor unbekannt", "auteur inconnu", "autor desconocido", "autore sconosciuto",
        "autor desconhecido", "unbekannter autor", "author not identified", "author tbd",
        "author tba", "author to be announced", "author to be confirmed", "tbc author",
        "tba author", "tbd author", "to be announced author", "unnamed author", "unnamed",
        "no name", "noname", "sin autor", "sans auteur", "автор неизвестен", "著者不明", "佚名著",
    }
)  # fmt: skip
_PUBLISHERS: Final = frozenset(
    {
        "unknown publisher", "publisher unknown", "no publisher", "no publisher listed",
        "publisher", "publishers", "publisher not identified", "publisher not specified",
        "publisher not available", "publisher not given", "publisher not known",
        "publisher not listed", "publisher not provided", "sans nom", "sine nomine",
        "name of publisher not identified",
        "s. n", "s.n", "s . n", "verlag nicht ermittelbar", "verlag unbekannt", "ohne verlag",
        "éditeur non identifié", "éditeur inconnu", "sans éditeur", "editor no identificado",
        "editorial desconocida", "sin editorial", "editore sconosciuto", "editor desconhecido",
        "editora não identificada", "uitgever onbekend", "uitgever niet vastgesteld",
        "utgivare ej identifierad", "utgiver ikke identifisert", "kustantaja tuntematon",
        "б.и", "б. и", "出版者不明", "s.l. : s.n", "s.l.: s.n", "s.l. s.n", "s.l", "s. l", "b.n",
    }
)  # fmt: skip
_BRACKETED: Final = re.compile(r"[\[(<]\s*s\.?\s*[nl]\.?\s*[\])>]\W*", re.IGNORECASE)
"""``[s.n.]``, "sine nomine": only brackets tell it from initials."""
_BRACKETS: Final = re.compile(r"[\[\](){}<>]")
_TWICE: Final = re.compile(r"(\w{3,})(?:[\s,]+\1)+", re.IGNORECASE)
_TITLES: Final = frozenset(
    {
        "untitled", "no title", "title", "unknown title", "title unknown", "title not available",
        "title not specified", "title tbd", "title tba", "title to be announced",
        "title to be confirmed", "untitled book", "untitled work", "untitled novel", "ohne titel",
        "o. t", "o.t", "sans titre", "sin título", "sin titulo", "senza titolo", "zonder titel",
        "sem título", "без названия", "無題", "无题", "book title", "new book",
    }
)  # fmt: skip


def is_no_name(text: str) -> bool:
    """Whether it stands for a name (of an author) that nobody knows."""
    once = _TWICE.fullmatch(text.strip())  # "Unknown, Unknown"
    return _says(once[1] if once else text, _NAMES) or _is_bracketed(text)


def is_no_publisher(text: str) -> bool:
    """Whether it stands for a publisher that nobody knows."""
    return (
        _says(text, _PUBLISHERS)
        or _is_bracketed(text)
        or _says(_BRACKETS.sub("", text), _PUBLISHERS)  # [S.l.] : [s.n.]
    )


def is_no_title(text: str) -> bool:
    """Whether it stands for a title that nobody knows, or that there is not yet."""
    return _says(text, _TITLES)


def is_no_description(text: str) -> bool:
    """Whether it stands for a description that there is not."""
    return _says(text, _DESCRIPTIONS)


def _is_bracketed(text: str) -> bool:
    return _BRACKETED.fullmatch(text.strip()) is not None


def _says(text: str, more: frozenset[str]) -> bool:
    if len(text) > 60:
        return False
    if _MARKS.fullmatch(text):  # ????, ---, ..., [ ]
        return True
    word = _SPACES.sub(" ", text).strip(_EDGES).rstrip(".").strip(_EDGES).casefold()
    return word in _WORDS or word in more
