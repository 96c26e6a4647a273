"""What is written where nothing is known: ``[s.n.]``, ``????``, ``TBD``, ``Untitled``.

Way:      providers/ leave such names and publishers out; merging.py never lets such a title win
Rule 1:   a whole value is judged, never a part of one: "Unknown Pleasures" is a title.
Rule 2:   "Anonymous" and "Various" say something, and stay.
Rule 3:   standard library only: the Cloudflare Worker runs this file as it is.

A value says nothing when it is a word for "unknown" (``TBA``), or such a word or a negation beside
a word for what is missing (``unknown author``, ``Verlag nicht ermittelbar``), in any language of
the tables below.
"""

import re
from typing import Final

_LONGEST_CHARS: Final = 80  # our choice; above it, it is prose
_MARKS: Final = re.compile(r"[\W_]*", re.UNICODE)
_SPACES: Final = re.compile(r"[\s_]+")
_EDGES: Final = " \t\n\r[](){}<>«»‹›\"'“”„‘’`|/\\:;,*"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.casefold().split())


_PHRASES: Final = re.compile(
    r"to be (?:announced|determined|decided|confirmed|advised|added)|to come|coming soon|no data|"
    r"not set|"
    r"not available \(na|ohne angaben?|keine angaben?|k\. ?a|o\. ?a|לא ידוע|غير معروف|알 수 없음"
)
"""Each says "unknown" in several words."""
_UNKNOWN: Final = _words("""
    unknown unkown unspecified undefined unidentified undetermined unavailable missing blank empty
    test n/a na #n/a #ref! none null nil nan tbd tba tbc forthcoming
    unbekannt unbekannter unbekannte inconnu inconnue indisponible desconocido desconocida
    desconhecido desconhecida indisponível sconosciuto sconosciuta onbekend onbekende okänd okänt
    ukjent ukendt tuntematon nieznany nieznana nieznane neznámý neznámy neznan necunoscut
    ismeretlen bilinmiyor bilinmeyen неизвестен неизвестно неизвестный неизвестное невідомий
    άγνωστος άγνωστο مجهول 不明 不详 不詳 未知 未詳 미상
""")
_NAMES_TOO: Final = _words("na nan nil")
"""Beside another word: "Nie Na"."""
_NEGATIONS: Final = _words("""
    no not without nicht ohne kein keine keinen non sans pas aucun aucune sin não sem senza nessun
    nessuna niet geen zonder utan ej ikke uten uden ei nie brak bez не нет без
""")
_PARTICIPLES: Final = _words("""
    available known stated given identified specified provided listed supplied found assigned
    credited applicable named yet verfügbar bekannt ermittelbar angegeben vorhanden disponible
    identifié identifiée précisé spécifié identificado identificada especificado disponibile
    identificato specificato indicato disponível beschikbaar vastgesteld identifierad tillgänglig
    identifisert tilgjengelig angivet oppgitt podano указан указано определено известно
""")
_AUTHOR: Final = _words("""
    author authors writer name autor autorin autoren auteur auteurs autore verfasser författare
    forfatter schrijver tekijä szerző yazar автор συγγραφέας 著者 作者
""")
_PUBLISHER: Final = _words("""
    publisher publishers publication name verlag verleger éditeur editor editorial editore editora
    uitgever uitgeverij utgivare förlag utgiver forlag kustantaja wydawca nakladatel kiadó
    издательство издатель 出版者 出版社
""")
_OF_PUBLISHER: Final = _words("place of de verlagsort lieu lugar publicación luogo local")
_TITLE: Final = _words("""
    title titel titre título titulo titolo tittel tytuł tytułu název názvu názov cím otsikko
    название названия заглавие заглавия
""")
_DESCRIPTION: Final = _words("""
    description synopsis summary overview plot product beschreibung inhaltsangabe résumé descripción
    sinopsis descrizione sinossi trama descrição sinopse beschrijving beskrivning beskrivelse opis
    opisu popis описание описания
""")
_OF_DESCRIPTION: Final = _words("""
    a an the this that there is are has was for of at time book title item de pas pour ce livre
    dieses buch
""")
_SHORT_PUBLISHER: Final = _words("sn sl slsn snsl ov overl zn bn np se би бм мби")
"""sine nomine, sine loco, ohne Verlag, zonder naam, без издательства: only brackets, or full stops
and a small letter, tell them from a firm's initials."""
_SINE_NOMINE: Final = re.compile(r"[\[(<\s]*s\.?\s*[nl]\.?\s*[\])>]\W*|\W*s\.\s?[nl]\.?\W*", re.I)
_BRACKETED: Final = re.compile(r"[\[(<]\s*s\.?\s*[nl]\.?\s*[\])>]\W*", re.I)
_NO_NAMES: Final = frozenset({"noname", "unnamed", "n.n", "n. n", "author name", "佚名著"})
_NO_PUBLISHERS: Final = frozenset({"sine nomine", "sans nom", "sine loco"})
_NO_TITLES: Final = frozenset(
    {"book title", "new book", "s.t", "s. t", "o.t", "o. t", "無題", "无题", "无标题"}
)
_UNTITLED: Final = re.compile(
    r"untitled(?: (?:book|novel|work|document|untitled))?(?:\W{0,3}[0-9]{1,4})?"
)
_TITLES_OF_BOOKS: Final = _words("missing blank empty forthcoming test")
_TWICE: Final = re.compile(r"(\w{3,})(?:[\s,]+\1)+", re.IGNORECASE)


def is_no_name(text: str) -> bool:
    """Whether it stands for a name (of an author) that nobody knows."""
    once = _TWICE.fullmatch(text.strip())  # "Unknown, Unknown"
    text = once[1] if once else text
    return _says(text, _AUTHOR) or _folded(text) in _NO_NAMES or bool(_BRACKETED.fullmatch(text))


def is_no_publisher(text: str) -> bool:
    """Whether it stands for a publisher that nobody knows."""
    return (
        _says(text, _PUBLISHER, _OF_PUBLISHER) or _is_short(text) or _folded(text) in _NO_PUBLISHERS
    )


def is_no_title(text: str) -> bool:
    """Whether it stands for a title that nobody knows, or that there is not yet."""
    folded = _folded(text)
    if folded in _TITLES_OF_BOOKS:
        return False
    is_untitled = folded in _NO_TITLES or _UNTITLED.fullmatch(folded) is not None
    return is_untitled or _says(text, _TITLE)


def is_no_description(text: str) -> bool:
    """Whether it stands for a description that there is not."""
    return _says(text, _DESCRIPTION, _OF_DESCRIPTION)


def is_nothing(text: str) -> bool:
    """Whether it says "unknown", of whatever."""
    return _says(text, frozenset())


def _is_short(text: str) -> bool:
    if _SINE_NOMINE.fullmatch(text.strip()):
        return True
    letters = "".join(filter(str.isalpha, text)).casefold()
    is_marked = text.lstrip()[:1] in "[(<" or ("." in text and not text.isupper())
    return len(text) < 24 and is_marked and letters in _SHORT_PUBLISHER


def _says(text: str, nouns: frozenset[str], beside: frozenset[str] = frozenset()) -> bool:
    """Whether it says "unknown", with one of the nouns or alone; or is the noun alone. ``beside``
    is what may stand there, too.
    """
    if len(text) > _LONGEST_CHARS:
        return False
    if _MARKS.fullmatch(text):  # ????, ---, ..., [ ]
        return True
    words = _PHRASES.sub("unknown", _folded(text)).split()
    words = [bare for word in words if (bare := word.strip(f"{_EDGES}.").replace(".", ""))]
    if len(words) == 1:
        return words[0] in _UNKNOWN or words[0] in nouns or _is_compound(words[0], nouns)
    unknown = negated = stated = False
    for word in words:
        if word in _UNKNOWN and word not in _NAMES_TOO:
            unknown = True
        elif word in _NEGATIONS:
            negated = True
        elif word in nouns or word in _PARTICIPLES:
            stated = True
        elif word not in beside:
            return False
    return stated if negated else unknown


def _is_compound(word: str, nouns: frozenset[str]) -> bool:
    """``著者不明``: noun and "unknown" without a space."""
    return any(word.startswith(noun) and word[len(noun) :] in _UNKNOWN for noun in nouns)


def _folded(text: str) -> str:
    return _SPACES.sub(" ", text).strip(_EDGES).rstrip(".").strip(_EDGES).casefold()
