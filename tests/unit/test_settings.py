"""The environment, read once: every default, every fault in plain words, no secret shown."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.errors import Refused
from bookline.rates import Rate, read_rate
from bookline.setting_values import DEFAULT_RATES, PREFIX
from bookline.settings import Settings, read_settings, show_settings


def read(**variables: str) -> Settings:
    return read_settings({PREFIX + name: value for name, value in variables.items()}, None)


def faults(**variables: str) -> list[str]:
    """What is said of an environment, one fault a line."""
    with pytest.raises(Refused) as refused:
        read(**variables)
    return str(refused.value).splitlines()


# ------------------------------------------------------------------ defaults
def test_an_empty_environment_works_on_one_machine() -> None:
    settings = read()

    assert (settings.host, settings.port) == ("127.0.0.1", 8787)
    assert settings.database_dir == settings.data_dir
    assert settings.at_work == 64
    assert settings.embedder == "local"
    assert settings.library is True
    assert settings.rate_limit_start is settings.rate_limit_read is None
    assert settings.job_deadline_seconds == 900
    assert settings.retention_days == 30
    assert settings.retry_scale == 1.0
    assert settings.provider_rates == DEFAULT_RATES


@pytest.mark.parametrize("variables", [{"HOST": "0.0.0.0"}, {"API_KEYS": "k" * 16}])
def test_a_server_that_others_may_ask_limits_them(variables: dict[str, str]) -> None:
    settings = read(**variables)

    assert settings.rate_limit_start == Rate(count=60, seconds=60)
    assert settings.rate_limit_read == Rate(count=600, seconds=60)


def test_a_limit_that_is_set_holds_on_loopback_too() -> None:
    settings = read(RATE_LIMIT_START="5/minute")

    assert settings.rate_limit_start == Rate(count=5, seconds=60)
    assert settings.rate_limit_read is None


def test_data_lies_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)

    assert read().data_dir == read(DATA_DIR="").data_dir == tmp_path / "share" / "bookline"
    assert list(tmp_path.iterdir()) == []


def test_data_of_an_earlier_version_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bookline-data").mkdir()
    before = read().data_dir

    (tmp_path / "bookline-data" / "journal.db").write_bytes(b"SQLite")

    assert before != read().data_dir == Path("./bookline-data")
    assert read(DATA_DIR="elsewhere").data_dir == Path("elsewhere")


def test_other_programs_variables_are_none_of_ours() -> None:
    assert read_settings({"PORT": "1", "BOOK": "x", "PATH": "/"}, None) == read()


@pytest.mark.parametrize(
    ("variables", "usable"),
    [
        ({}, ("openlibrary",)),
        ({"GOOGLE_BOOKS_API_KEY": "k"}, ("google_books", "openlibrary")),
        ({"ISBNDB_API_KEY": "k"}, ("openlibrary", "isbndb")),
        ({"GOOGLE_BOOKS_URL": "http://127.0.0.1:1/g"}, ("google_books", "openlibrary")),
        ({"ISBNDB_URL": "http://127.0.0.1:1"}, ("openlibrary", "isbndb")),
        ({"ISBNDB_URL": "https://api.pro.isbndb.com"}, ("openlibrary",)),
        ({"ISBNDB_URL": "https://my-isbndb.com"}, ("openlibrary", "isbndb")),
        ({"GOOGLE_BOOKS_URL": "https://www.googleapis.com/books/v1/"}, ("openlibrary",)),
    ],
)
def test_a_source_is_usable_with_a_key_or_at_another_address(
    variables: dict[str, str], usable: tuple[str, ...]
) -> None:
    assert read(**variables).usable_sources == usable


# ------------------------------------------------------------------ how values are written
@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", Rate(count=10, seconds=1)),
        ("120/minute", Rate(count=120, seconds=60)),
        (" 3/H ", Rate(count=3, seconds=3600)),
        ("off", None),
        ("OFF", None),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate | None) -> None:
    assert read_rate(text) == rate


@pytest.mark.parametrize("text", ["on", "true", "YES", "1", " on "])
def test_a_switch_may_be_on_in_many_words(text: str) -> None:
    assert read(ALLOW_PRIVATE_COVERS=text).allow_private_covers is True


@pytest.mark.parametrize("text", ["off", "False", "no", "0"])
def test_a_switch_may_be_off_in_many_words(text: str) -> None:
    assert read(LIBRARY=text).library is False


def test_a_list_may_have_spaces_and_a_comma_at_its_end() -> None:
    assert read(COVER_HOSTS=" a.example , b.example:8080,").cover_hosts == (
        "a.example",
        "b.example:8080",
    )


def test_a_rate_that_is_given_leaves_the_others_as_they_are() -> None:
    rates = read(PROVIDER_RATES="openlibrary=1/s, isbndb=off").provider_rates

    assert rates == DEFAULT_RATES | {"openlibrary": Rate(count=1, seconds=1), "isbndb": None}


def test_a_database_may_lie_elsewhere(tmp_path: Path) -> None:
    assert read(DATABASE_URL=f"sqlite:///{tmp_path}").database_dir == tmp_path


# ------------------------------------------------------------------ faults
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("PORT", "web", "must be a whole number"),
        ("PORT", "70000", "must be at most 65535"),
        ("PORT", "-1", "must be at least 0"),
        ("PORT", "", "must be a whole number"),
        ("LIBRARY", "maybe", "must be on or off"),
        ("EMBEDDER", "magic", "must be local, workers-ai, openai or none"),
        ("RATE_LIMIT_START", "10", "must look like 10/s, 120/minute or off"),
        ("RATE_LIMIT_START", "ten/s", "must look like 10/s, 120/minute or off"),
        ("RATE_LIMIT_START", "0/s", "must allow 1 to 1000000"),
        ("RATE_LIMIT_READ", "1000001/s", "must allow 1 to 1000000"),
        ("PROVIDER_RATES", "10/s", "must look like google_books=10/s,openlibrary=3/s"),
        ("PROVIDER_RATES", "amazon=1/s", "amazon is no provider"),
        ("PROVIDER_RATES", "isbndb=fast", "must look like 10/s"),
        ("GOOGLE_BOOKS_URL", "ftp://x", "must be an http or https address"),
        ("OPENLIBRARY_URL", "openlibrary.org", "must be an http or https address"),
        ("ISBNDB_URL", "http://", "must be an http or https address"),
        ("OPENLIBRARY_COVERS_URL", "http://[", "must be an address"),
        ("DATABASE_URL", "postgresql://[/x", "must be an address"),
        ("KV_URL", "redis://[", "must be an address"),
        ("CORS_ORIGINS", "http://[", "scheme://host"),
        ("GOOGLE_BOOKS_COUNTRY", "us", "must be two capital letters"),
        ("DATABASE_URL", "mysql://x", "sqlite:///"),
        ("DATABASE_URL", "postgresql+psycopg://x/y", "postgresql://host/database"),
        ("DATABASE_URL", "postgresql://host", "name a database"),
        ("DATABASE_URL", "postgresql://a:1,b:99999/x", "port"),
        ("API_KEYS", ",", "a list without a key"),
        ("API_KEYS", " ", "a list without a key"),
        ("API_KEYS", "k" * 15, "16 characters"),
        ("API_KEYS", "k" * 16 + ",x", "16 characters"),
        ("TOKEN_SECRET", "s" * 31, "32 characters"),
        ("CORS_ORIGINS", "null", "scheme://host"),
        ("CORS_ORIGINS", "*", "scheme://host"),
        ("CORS_ORIGINS", "https://*", "scheme://host"),
        ("CORS_ORIGINS", "https://a.example/", "scheme://host"),
        ("CORS_ORIGINS", "https://a.example/b", "scheme://host"),
        ("CORS_ORIGINS", "https://me@a.example", "scheme://host"),
        ("CORS_ORIGINS", "a.example", "scheme://host"),
        ("CORS_ORIGINS", "https://a.example:70000", "port"),
        ("CORS_ORIGINS", "https://a.example,null", "scheme://host"),
        ("TRUSTED_PROXIES", "proxy.example", "addresses or networks"),
        ("TRUSTED_PROXIES", "10.0.0.0/99", "addresses or networks"),
        ("COVER_HOSTS", "a.example:0", "port"),
        ("ISBNDB_URL", "http://a.example:99999", "port"),
        ("KV_URL", "redis://a.example:x/0", "port"),
        ("EMBEDDER_URL", "localhost:11434", "must be an http or https address"),
        ("CONTACT", "me@example.org\nX-More: 1", "must be one line"),
        ("ISBNDB_API_KEY", "key\n", "must be one line"),
        ("AT_WORK", "0", "must be at least 1"),
        ("WORKFLOW_ROLLOUT_PERCENT", "101", "must be at most 100"),
        ("WORKFLOW_ROLLOUT_PERCENT", "10abc", "must be a whole number"),
        ("JOB_DEADLINE_SECONDS", "0", "must be more than 0"),
        ("JOB_DEADLINE_SECONDS", "nan", "must be at most 604800"),
        ("JOB_DEADLINE_SECONDS", "soon", "must be a number"),
        ("JOB_DEADLINE_SECONDS", "inf", "must be at most 604800"),
        ("RETENTION_DAYS", "-1", "must be more than 0"),
        ("RETRY_SCALE", "-0.1", "must be at least 0"),
        ("RETRY_SCALE", "nan", "must be at most 100"),
        ("LOG_LEVEL", "loud", "must be debug, info, warning or error"),
        ("LOG_FORMAT", "xml", "must be text or json"),
    ],
)
def test_a_bad_value_is_refused_in_one_plain_line(name: str, value: str, says: str) -> None:
    (line,) = faults(**{name: value})

    assert line.startswith(f"{PREFIX}{name}: ")
    assert says in line
    assert "https://" not in line  # no link to a library's pages
    assert "Input" not in line


def test_an_unknown_name_is_refused() -> None:
    assert faults(PROT="80") == ["BOOKLINE_PROT is not a setting; did you mean BOOKLINE_PORT?"]
    assert faults(NONSENSE="1") == [
        "BOOKLINE_NONSENSE is not a setting; without it `bookline config` lists all"
    ]


def test_all_faults_are_told_at_once() -> None:
    lines = faults(PORT="x", LIBRARY="y", TYPO="z", RETRY_SCALE="w")

    assert {line.split(":")[0].split(" ")[0] for line in lines} == {
        "BOOKLINE_PORT", "BOOKLINE_LIBRARY", "BOOKLINE_TYPO", "BOOKLINE_RETRY_SCALE",
    }  # fmt: skip


def test_a_fault_does_not_repeat_what_may_be_secret() -> None:
    assert not any("hunter2" in line for line in faults(PORT="hunter2", TYPO="hunter2"))


# ------------------------------------------------------------------ the .env file
def test_a_file_is_read_below_the_environment(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("BOOKLINE_PORT=1111\nBOOKLINE_HOST=::1\nOTHER=x\n# BOOKLINE_TYPO=1\n")

    settings = read_settings({"BOOKLINE_PORT": "2222"}, file)

    assert (settings.host, settings.port) == ("::1", 2222)


def test_an_unknown_name_in_the_file_is_refused_too(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("BOOKLINE_PROT=1\n")

    with pytest.raises(Refused, match="BOOKLINE_PROT"):
        read_settings({}, file)


def test_a_file_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    assert read_settings({}, tmp_path / ".env") == read()


# ------------------------------------------------------------------ what is shown
def test_secrets_are_masked() -> None:
    secret = "hunter2-hunter2-hunter2-hunter2-hunter2"
    settings = read(
        GOOGLE_BOOKS_API_KEY=secret,
        ISBNDB_API_KEY=secret,
        EMBEDDER_API_KEY=secret,
        API_KEYS=f"{secret},{secret}2",
        TOKEN_SECRET=secret,
        KV_URL=f"redis://user:{secret}@cache.example:6379/0",
        OBJECT_STORE_URL=f"s3://key:{secret}@bucket/prefix?endpoint=https://r2.example",
        EMBEDDER_URL=f"https://user:{secret}@ai.example/run",
        OPENLIBRARY_URL=f"https://user:{secret}@mirror.example",
    )

    shown = show_settings(settings)

    assert not [name for name, value in shown.items() if secret in value]
    assert shown["BOOKLINE_KV_URL"] == "redis://********@cache.example:6379/0"
    assert shown["BOOKLINE_TOKEN_SECRET"] == "********"


def test_a_password_with_an_at_sign_is_masked_whole() -> None:
    shown = show_settings(read(KV_URL="redis://user:p@ss@cache.example/0"))

    assert shown["BOOKLINE_KV_URL"] == "redis://********@cache.example/0"


def test_a_secret_that_is_not_set_shows_as_empty() -> None:
    shown = show_settings(read())

    assert shown["BOOKLINE_TOKEN_SECRET"] == ""
    assert shown["BOOKLINE_API_KEYS"] == ""


def test_every_setting_is_shown_and_explained() -> None:
    shown = show_settings(read())

    assert list(shown) == [PREFIX + name.upper() for name in Settings.model_fields]


rates = st.builds(
    lambda count, unit: f"{count}/{unit}",
    st.integers(1, 1_000_000),
    st.sampled_from(["s", "minute", "hour"]),
) | st.just("off")


@given(
    start=rates,
    provider=rates,
    port=st.integers(0, 65_535),
    is_on=st.booleans(),
    hosts=st.lists(st.sampled_from(["a.example", "b.example:8080", "[::1]:80"]), max_size=3),
    scale=st.floats(0, 100),
)
def test_what_is_shown_can_be_read_again(
    start: str, provider: str, port: int, is_on: bool, hosts: list[str], scale: float
) -> None:
    """Whoever copies the answer of ``bookline config`` into a file gets the same settings."""
    settings = read(
        RATE_LIMIT_START=start,
        PROVIDER_RATES=f"isbndb={provider}",
        PORT=str(port),
        LIBRARY="on" if is_on else "off",
        COVER_HOSTS=",".join(hosts),
        RETRY_SCALE=repr(scale),
    )

    assert read_settings(show_settings(settings), None) == settings
