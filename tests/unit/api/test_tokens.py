"""API keys and job tokens."""

import errno
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.api.keys import TOKEN_SECONDS, Keys, Tokens, keep_secret
from bookline.errors import Refused, StoreDown
from bookline.settings import LEAST_SECRET

NOW_MS = 1_795_384_691_739
JOB = "import-9780451524935-1795384691739-Bhr1wV3YJgg0DAuL"


@given(st.text(max_size=100), st.integers(0, TOKEN_SECONDS - 1))
def test_a_token_opens_its_job_until_it_expires(job_id: str, later_seconds: int) -> None:
    tokens = Tokens("secret")

    token = tokens.issue(job_id, NOW_MS)

    assert tokens.opens(token, job_id, NOW_MS + later_seconds * 1000)
    assert not tokens.opens(token, job_id, NOW_MS + TOKEN_SECONDS * 1000)
    assert not tokens.opens(token, job_id + "x", NOW_MS)
    assert not Tokens("other").opens(token, job_id, NOW_MS)


@given(st.text(max_size=120))
def test_no_other_text_is_a_token(text: str) -> None:
    assert not Tokens("secret").opens(text, JOB, NOW_MS)


@given(st.data())
def test_a_token_with_one_character_changed_opens_nothing(data: st.DataObject) -> None:
    tokens = Tokens("secret")
    token = tokens.issue(JOB, NOW_MS)
    place = data.draw(st.integers(0, len(token) - 2))  # the last one has bits that do not count
    other = data.draw(st.characters().filter(lambda char: char != token[place]))

    assert not tokens.opens(token[:place] + other + token[place + 1 :], JOB, NOW_MS)


def test_a_token_is_safe_in_a_query_and_in_a_sub_protocol() -> None:
    token = Tokens("secret").issue(JOB, NOW_MS)

    assert token.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert token.isascii()


def test_each_key_names_its_caller_and_nothing_else_does() -> None:
    keys = Keys(["one", "two"])

    names = {keys.match("Bearer one"), keys.match("bearer two")}

    assert None not in names
    assert len(names) == 2
    assert not any("one" in str(name) or "two" in str(name) for name in names)
    for wrong in (None, "", "Bearer", "Bearer ", "Bearer on", "Basic one", "one", "Bearer one two"):
        assert keys.match(wrong) is None
    assert not Keys([])


@given(st.text())
def test_any_header_is_read(header: str) -> None:
    assert Keys(["a key that no test makes up"]).match(header) is None


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = keep_secret("", tmp_path / "data")
    again = keep_secret("", tmp_path / "data")

    assert first == again
    assert len(first) >= 32
    assert keep_secret("given", tmp_path / "data") == "given"
    assert (tmp_path / "data" / "token-secret").stat().st_mode & 0o777 == 0o600


def test_a_secret_that_cannot_be_written_whole_is_not_written_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at the first start must not leave a secret that everybody knows."""

    def is_full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bookline.folders.os.fsync", is_full)
        with pytest.raises(StoreDown, match="token-secret"):
            keep_secret("", tmp_path / "data")

    assert list((tmp_path / "data").iterdir()) == []
    assert len(keep_secret("", tmp_path / "data")) >= LEAST_SECRET


@pytest.mark.parametrize("kept", ["", "\n", "x" * 31])
def test_a_kept_secret_that_is_too_short_is_refused_by_name(tmp_path: Path, kept: str) -> None:
    (tmp_path / "token-secret").write_text(kept)

    with pytest.raises(Refused, match="token-secret"):
        keep_secret("", tmp_path)


def test_a_folder_that_cannot_be_written_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, no folder")

    with pytest.raises(StoreDown, match="token-secret"):
        keep_secret("", tmp_path / "data")
