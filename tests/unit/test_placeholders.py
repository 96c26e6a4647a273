"""What stands for "unknown" is told from what merely looks like it."""

import pytest

from bookline.placeholders import is_no_description, is_no_name, is_no_publisher, is_no_title


@pytest.mark.parametrize(
    "text",
    ["?", "????", "---", "...", "…", "[ ]", "–", "Unknown", "UNKNOWN", "[Unknown]",
     "unknown author",
     "Author Unknown", "n/a", "N/A", "n.a.", "None", "null", "TBD", "TBA", "[TBC]",
     "To Be Announced", "Not Available (NA)", "Unbekannt", "Inconnu", "Desconocido", "不明",
     "[s.n.]", "(S. N.)", "Unknown Unknown", "Unknown, unknown",
     "T.B.A.", "#N/A", "Not stated", "Auteur onbekend", "Okänd författare", "Неизвестный автор",
     "Autor nieznany", "著者不明", "作者不详", "Άγνωστος", "Sem autor", "N. N.", "Author Name",
     "No Author Credited", "\"Unknown\"", " unknown. "],
)  # fmt: skip
def test_no_name_is_known(text: str) -> None:
    assert is_no_name(text)


@pytest.mark.parametrize(
    "text",
    ["Anonymous", "Various", "Various Authors", "Nemo", "Unknown Worlds Collective", "A", "X", "O.",
     "Anon.", "T. B. Davis", "S. N.", "N. N. Taleb", "Name, Ann", "The Unknown Comic",
     "Nie, Jing-Bao", "Nie Na", "Na Nan", "Duran Duran", "Na Li", "Noname Smith", "中山", "Q?"],
)  # fmt: skip
def test_a_name_stays_a_name(text: str) -> None:
    assert not is_no_name(text)


@pytest.mark.parametrize(
    "text",
    ["[s.n.]", "s.n.", "S.N.", "(s.n.)", "[S. n.]", "<s.n.>", "[sn]", "s. n", "[s.n.],",
     "sine nomine",
     "????", "Publisher not identified", "[publisher not identified]", "Unknown Publisher",
     "[Verlag nicht ermittelbar]", "[éditeur non identifié]", "[S.l. : s.n.]", "n/a", "-", "TBA",
     "[Place of publication not identified] : [publisher not identified]", "[o. V.]", "z.n.",
     "[editore non identificato]", "[förlag okänt]", "出版社不明", "not stated", "[n.p.]",
     "[no place, no publisher]", "[б.и.]", "No publisher", "[S.l.] : [s.n.]", "[sans nom]",
     "publisher not given", "S.l. : s.n.", "S.l.", "S. l. s. n.", "Б.и.", "B.n."],
)  # fmt: skip
def test_no_publisher_is_known(text: str) -> None:
    assert is_no_publisher(text)


@pytest.mark.parametrize(
    "text",
    ["Penguin", "SN Books", "S.N. Verlag", "Independently published", "Unknown Press", "Nil Books",
     "CreateSpace", "Author's Republic", "None Such Press", "O.T. Books", "O.V.", "SN", "Local",
     "Place", "Non Lieu", "No Place"],
)  # fmt: skip
def test_a_publisher_stays_a_publisher(text: str) -> None:
    assert not is_no_publisher(text)


@pytest.mark.parametrize(
    "text",
    ["Untitled", "[Untitled]", "UNTITLED", "????", "No title", "TBD", "Title not available",
     "No title available", "[s.t.]", "Uten tittel", "Bez tytułu", "Без названия", "无标题",
     "Book Title",
     "Untitled 1", "Untitled (2)", "Untitled Untitled", "Ohne Titel", "Sans titre", "無題", "..."],
)  # fmt: skip
def test_no_title_is_known(text: str) -> None:
    assert is_no_title(text)


@pytest.mark.parametrize(
    "text",
    ["Unknown Pleasures", "Nil by Mouth", "Untitled: A Memoir", "It", "1984", "V.", "S.",
     "Title Deeds",
     "Missing", "Forthcoming", "Book of the Unknown", "Test", "Untitled Grace Jones",
     "The Unknown", "No Title Fight", "Empty Set", "Not Empty", "No Test"],
)  # fmt: skip
def test_a_title_stays_a_title(text: str) -> None:
    assert not is_no_title(text)


@pytest.mark.parametrize(
    ("text", "says_nothing"),
    [("No description available.", True), ("N/A", True), ("…", True), ("Description not available",
     True),
     ("There is no description available for this title.", True), ("Aucune description disponible",
     True), ("Beschreibung nicht verfügbar", True), ("Descripción no disponible.", True),
     ("A", False), ("The book is long.", False), ("No description can do it justice.", False),
     ("Unknown to her, he waits.", False)],
)  # fmt: skip
def test_a_description_that_says_nothing_is_told(text: str, *, says_nothing: bool) -> None:
    assert is_no_description(text) is says_nothing
