"""Languages as providers and people name them → BCP 47.

Source:  ISO 639-1 and 639-2 (both the terminology and the library codes), the older MARC codes
         that Open Library's records still hold, RFC 5646.
"""

import re
from typing import Final

_TABLE: Final = """
aa aar = Afar; ab abk = Abkhazian; ae ave = Avestan; af afr = Afrikaans; ak aka = Akan; am amh =
Amharic; an arg = Aragonese; ar ara = Arabic; as asm = Assamese; av ava = Avaric; ay aym =
Aymara; az aze = Azerbaijani; ba bak = Bashkir; be bel = Belarusian; bg bul = Bulgarian; bh bih
= Bihari; bi bis = Bislama; bm bam = Bambara; bn ben = Bengali, Bangla; bo bod tib = Tibetan; br
bre = Breton; bs bos = Bosnian; ca cat = Catalan, Valencian; ce che = Chechen; ch cha =
Chamorro; co cos = Corsican; cr cre = Cree; cs ces cze = Czech; cu chu = Church Slavic, Old
Slavonic, Church Slavonic, Old Bulgarian, Old Church Slavonic; cv chv = Chuvash; cy cym wel =
Welsh; da dan = Danish; de deu ger = German; dv div = Divehi, Dhivehi, Maldivian; dz dzo =
Dzongkha; ee ewe = Ewe; el ell gre = Greek, Modern Greek; en eng = English; eo epo esp =
Esperanto; es spa = Spanish, Castilian; et est = Estonian; eu eus baq = Basque; fa fas per =
Persian, Farsi; ff ful = Fulah; fi fin = Finnish; fj fij = Fijian; fo fao far = Faroese; fr fra
fre = French; fy fry = Western Frisian; ga gle iri = Irish; gd gla gae = Gaelic, Scottish
Gaelic; gl glg gag = Galician; gn grn gua = Guarani; gu guj = Gujarati; gv glv = Manx; ha hau =
Hausa; he heb = Hebrew; hi hin = Hindi; ho hmo = Hiri Motu; hr hrv scr = Croatian; ht hat =
Haitian, Haitian Creole; hu hun = Hungarian; hy hye arm = Armenian; hz her = Herero; ia ina int
= Interlingua; id ind = Indonesian; ie ile = Interlingue, Occidental; ig ibo = Igbo; ii iii =
Sichuan Yi, Nuosu; ik ipk = Inupiaq; io ido = Ido; is isl ice = Icelandic; it ita = Italian; iu
iku = Inuktitut; ja jpn = Japanese; jv jav = Javanese; ka kat geo = Georgian; kg kon = Kongo; ki
kik = Kikuyu, Gikuyu; kj kua = Kuanyama, Kwanyama; kk kaz = Kazakh; kl kal = Kalaallisut,
Greenlandic; km khm cam = Khmer, Central Khmer; kn kan = Kannada; ko kor = Korean; kr kau =
Kanuri; ks kas = Kashmiri; ku kur = Kurdish; kv kom = Komi; kw cor = Cornish; ky kir = Kirghiz,
Kyrgyz; la lat = Latin; lb ltz = Luxembourgish, Letzeburgesch; lg lug = Ganda; li lim =
Limburgan, Limburger, Limburgish; ln lin = Lingala; lo lao = Lao; lt lit = Lithuanian; lu lub =
Luba-Katanga; lv lav = Latvian; mg mlg mla = Malagasy; mh mah = Marshallese; mi mri mao = Maori;
mk mkd mac = Macedonian; ml mal = Malayalam; mn mon = Mongolian; mr mar = Marathi; ms msa may =
Malay; mt mlt = Maltese; my mya bur = Burmese; na nau = Nauru; nb nob = Norwegian Bokmål,
Bokmål; nd nde = North Ndebele; ne nep = Nepali; ng ndo = Ndonga; nl nld dut = Dutch, Flemish;
nn nno = Norwegian Nynorsk, Nynorsk; no nor = Norwegian; nr nbl = South Ndebele; nv nav =
Navajo, Navaho; ny nya = Chichewa, Chewa, Nyanja; oc oci lan = Occitan, Provençal; oj oji =
Ojibwa; om orm gal = Oromo; or ori = Oriya; os oss = Ossetian, Ossetic; pa pan = Panjabi,
Punjabi; pi pli = Pali; pl pol = Polish; ps pus = Pushto, Pashto; pt por = Portuguese; qu que =
Quechua; rm roh = Romansh; rn run = Rundi; ro ron rum mol = Romanian, Moldavian, Moldovan; ru
rus = Russian; rw kin = Kinyarwanda; sa san = Sanskrit; sc srd = Sardinian; sd snd = Sindhi; se
sme lap = Northern Sami; sg sag = Sango; si sin snh = Sinhala, Sinhalese; sk slk slo = Slovak;
sl slv = Slovenian; sm smo sao = Samoan; sn sna sho = Shona; so som = Somali; sq sqi alb =
Albanian; sr srp scc = Serbian; ss ssw swz = Swati; st sot sso = Southern Sotho, Sesotho; su sun
= Sundanese; sv swe = Swedish; sw swa = Swahili; ta tam = Tamil; te tel = Telugu; tg tgk taj =
Tajik; th tha = Thai; ti tir = Tigrinya; tk tuk = Turkmen; tl tgl tag = Tagalog, Filipino; tn
tsn tsw = Tswana; to ton = Tonga; tr tur = Turkish; ts tso = Tsonga; tt tat tar = Tatar; tw twi
= Twi; ty tah = Tahitian; ug uig = Uighur, Uyghur; uk ukr = Ukrainian; ur urd = Urdu; uz uzb =
Uzbek; ve ven = Venda; vi vie = Vietnamese; vo vol = Volapük; wa wln = Walloon; wo wol = Wolof;
xh xho = Xhosa; yi yid = Yiddish; yo yor = Yoruba; za zha = Zhuang, Chuang; zh zho chi =
Chinese; zu zul = Zulu
"""


def _read_table() -> dict[str, str]:
    known: dict[str, str] = {}
    for row in _TABLE.replace("\n", " ").split(";"):
        codes, names = row.split(" = ")
        short, *longer = codes.split()
        for word in (short, *longer, *names.split(", ")):
            known[word.strip().casefold()] = short
    return known


_KNOWN: Final = _read_table() | {
    # retired codes (IANA registry), which Java and Google's services still say
    "iw": "he", "ji": "yi", "in": "id", "jw": "jv", "mo": "ro", "scc": "sr", "scr": "hr",
    "fri": "fy", "eth": "gez", "kus": "kos", "max": "gv", "tru": "chk",  # older MARC
    "iw-il": "he-IL", "in-id": "id-ID",
    # the languages' own names, as national catalogues write them
    "deutsch": "de", "français": "fr", "francais": "fr", "español": "es", "espanol": "es",
    "castellano": "es", "italiano": "it", "português": "pt", "portugues": "pt", "nederlands": "nl",
    "svenska": "sv", "norsk": "no", "dansk": "da", "suomi": "fi", "polski": "pl", "čeština": "cs",
    "česky": "cs", "magyar": "hu", "română": "ro", "türkçe": "tr", "русский": "ru",
    "українська": "uk", "ελληνικά": "el", "עברית": "he", "العربية": "ar", "日本語": "ja",
    "中文": "zh", "한국어": "ko", "català": "ca", "euskara": "eu", "galego": "gl", "hrvatski": "hr",
    "slovenčina": "sk", "slovenščina": "sl", "български": "bg", "српски": "sr", "íslenska": "is",
    "简体中文": "zh-Hans", "繁體中文": "zh-Hant", "繁体中文": "zh-Hant", "英语": "en", "英語": "en",
    "汉语": "zh", "中国語": "zh", "日语": "ja",
    # the languages that most books are in, as their neighbours name them
    "englisch": "en", "anglais": "en", "inglés": "en", "inglese": "en", "engels": "en",
    "inglês": "en", "engelska": "en", "engelsk": "en", "английский": "en",
    "französisch": "fr", "francés": "fr", "francese": "fr", "frans": "fr", "francês": "fr",
    "allemand": "de", "alemán": "de", "tedesco": "de", "duits": "de", "alemão": "de",
    "немецкий": "de", "spanisch": "es", "espagnol": "es", "spagnolo": "es", "spaans": "es",
    "italienisch": "it", "italien": "it", "niederländisch": "nl", "néerlandais": "nl",
    "portugiesisch": "pt", "portugais": "pt", "russisch": "ru", "russe": "ru", "ruso": "ru",
    "japanisch": "ja", "japonais": "ja", "chinesisch": "zh", "chinois": "zh",
    # older stages have codes of their own (ISO 639-2)
    "english, old": "ang", "english, middle": "enm", "french, old": "fro", "french, middle": "frm",
    "german, old high": "goh", "german, middle high": "gmh", "greek, ancient": "grc",
    "ancient greek": "grc", "greek, modern": "el", "irish, old": "sga", "old english": "ang",
    "middle english": "enm", "old norse": "non", "norse, old": "non",
    "brazilian portuguese": "pt-BR", "portuguese (brazil)": "pt-BR",
    "simplified chinese": "zh-Hans", "chinese (simplified)": "zh-Hans",
    "traditional chinese": "zh-Hant", "chinese (traditional)": "zh-Hant",
    "american english": "en-US", "british english": "en-GB", "mandarin": "zh",
    "mandarin chinese": "zh", "cantonese": "yue", "scots": "sco", "low german": "nds",
    "plattdeutsch": "nds", "frisian": "fy", "asturian": "ast", "hawaiian": "haw", "cebuano": "ceb",
    "aramaic": "arc", "syriac": "syr", "coptic": "cop", "akkadian": "akk", "aleut": "ale",
    "serbo-croatian": "sh", "sh": "sh", "romany": "rom", "romani": "rom", "papiamento": "pap",
    "mul": "mul", "multiple": "mul", "multiple languages": "mul", "several languages": "mul",
    "multilingual": "mul",
}  # fmt: skip
_UNKNOWN: Final = frozenset(
    {"un", "und", "zxx", "mis", "xxx", "unk", "tbd", "tba", "undetermined", "unknown", "n/a",
     "none", "null", "not specified", "no linguistic content", "undefined", "other", "unspecified"}
)  # fmt: skip
_PRIVATE: Final = re.compile(r"q[a-t][a-z]")  # ISO 639-2, for use between two parties
_TAG: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8}){0,4}")
_SEVERAL: Final = re.compile(r"\s*[;,|/+&]\s*|\s+(?:and|und|et|y)\s+")
_SAYS_LANGUAGE: Final = re.compile(
    r"\b(?:languages?|lang|idioma|langue|sprache|lingua|taal|språk|язык)\b\s*:?"
    r"|^(?:(?:text|written)\s+)?in\s+(?=\w{4})|\btext$"
)
_BRACKETED: Final = re.compile(r"\s*\(([^()]*)\)|,\s*(\w+)$")
_VARIANTS: Final = {
    "us": "US", "usa": "US", "united states": "US", "american": "US", "uk": "GB", "gb": "GB",
    "united kingdom": "GB", "great britain": "GB", "british": "GB", "canada": "CA",
    "canadian": "CA", "australia": "AU", "india": "IN", "brazil": "BR", "brasil": "BR",
    "brazilian": "BR", "portugal": "PT", "mexico": "MX", "méxico": "MX", "spain": "ES",
    "españa": "ES", "argentina": "AR", "latin america": "419", "france": "FR", "austria": "AT",
    "switzerland": "CH", "taiwan": "TW", "hong kong": "HK", "simplified": "Hans",
    "traditional": "Hant", "cyrillic": "Cyrl",
}  # fmt: skip
"""What stands behind a language's name, in brackets: region or script."""


def bcp47(name: str) -> str | None:
    """The tag for a code or a name; None where it says "unknown", or nothing that is known.

    Of several (``eng; spa``) the first that is known; a code with its name (``Eng English``) is
    that language.
    """
    folded = name.strip().casefold().replace("_", "-").removeprefix("/languages/").strip("-. ")
    if _is_unknown(folded):
        return None
    if tag := _known(folded):
        return tag
    plain = _SAYS_LANGUAGE.sub("", _BRACKETED.sub("", folded)).strip(" .")
    if tag := _known(plain) or _coded(plain):
        return _varied(tag, _BRACKETED.search(folded))
    for part in _SEVERAL.split(_SAYS_LANGUAGE.sub("", folded)):
        part = _BRACKETED.sub("", part).strip(" .")  # noqa: PLW2901
        if tag := _known(part) or _coded(part):
            return tag
    return None


def _varied(tag: str, bracket: re.Match[str] | None) -> str:
    """``pt`` and "(Brazilian)" are ``pt-BR``; ``no`` and "(Bokmål)" are ``nb``."""
    said = (bracket[1] or bracket[2] or "").strip() if bracket else ""
    variant = _VARIANTS.get(said)
    if variant and "-" not in tag:
        return f"{tag}-{variant}"
    return _KNOWN[said] if tag == "no" and said in _KNOWN else tag


def _known(folded: str) -> str | None:
    if folded in _KNOWN:
        return _KNOWN[folded]
    first, *rest = folded.split("-")
    if len(first) == 2 and first not in _KNOWN:  # the table has them all
        return None
    if _TAG.fullmatch(folded) and (rest or len(folded) <= 3):
        return "-".join((_KNOWN.get(first, first), *map(_cased, rest)))
    return None


def _coded(words: str) -> str | None:
    """``eng english``, ``english - eng``: every word says the same language."""
    tags = {_KNOWN.get(word) for word in words.replace(":", " ").split() if word != "-"}
    return tags.pop() if len(tags) == 1 else None


def _is_unknown(folded: str) -> bool:
    return (
        folded in _UNKNOWN or bool(_PRIVATE.fullmatch(folded)) or not re.sub(r"[\W_]", "", folded)
    )


def _cased(subtag: str) -> str:
    """Scripts as ``Hant``, regions as ``BR``, the rest in lower case (RFC 5646 §2.1.1)."""
    if len(subtag) == 4 and subtag.isalpha():
        return subtag.title()
    return subtag.upper() if len(subtag) == 2 else subtag
