"""What a caller of the command line says is never handed to the terminal as it is."""

import sys

import pytest

from bookline.cli.main import run

EVIL = ["\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "a\x08b", "\x7f", "x\x00y"]


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize(
    "before", [[], ["status"], ["import"], ["search"], ["books", "--limit"], ["watch", "--server"]]
)
def test_terminal_escapes_are_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    before: list[str],
    evil: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["bookline", *before, evil])

    with pytest.raises(SystemExit) as ended:
        run()

    shown = capsys.readouterr()
    assert ended.value.code == 2
    assert evil not in shown.out + shown.err
    assert "control characters" in shown.err


def test_lines_and_tabs_are_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bookline", "no-such\ncommand\t"])

    with pytest.raises(SystemExit):
        run()

    assert "control characters" not in capsys.readouterr().err
