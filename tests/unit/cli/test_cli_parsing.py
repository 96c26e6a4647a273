"""What the command line accepts, without running anything."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bookline import __version__
from bookline.cli.library_commands import read_changes
from bookline.cli.main import app
from bookline.errors import Refused

COMMANDS = (
    "serve", "import", "status", "watch", "cancel", "retry", "jobs", "books", "book", "search",
    "edit", "delete", "export",
    "config", "doctor", "sandbox", "demo", "rollout", "metrics",
)  # fmt: skip
HEAVY = {
    "dbos",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "PIL",
    "wordllama",
    "tokenizers",
    "numpy",
    "aiohttp",
    "matplotlib",
}

SELDOM = {"PIL", "wordllama", "tokenizers", "requests", "matplotlib", "redis", "rich", "typer"}


def test_no_command_shows_the_help() -> None:
    shown = CliRunner().invoke(app, [])

    assert shown.exit_code == 0
    assert all(f"  {name} " in shown.output for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])

    assert shown.exit_code == 0
    assert "Usage:" in shown.output


def test_the_version_is_the_package_s() -> None:
    assert CliRunner().invoke(app, ["--version"]).output == f"bookline {__version__}\n"


@pytest.mark.parametrize("line", [["nonsense"], ["status"], ["jobs", "--limit", "0"], ["book"]])
def test_bad_usage_is_2(line: list[str]) -> None:
    assert CliRunner().invoke(app, line).exit_code == 2


@pytest.mark.parametrize("line", [["--json", "config"], ["config", "--json"]])
def test_global_options_stand_before_or_behind_the_command(line: list[str]) -> None:
    shown = CliRunner(env={"BOOKLINE_CONTACT": "me@example.org"}).invoke(app, line)

    assert shown.exit_code == 0
    assert '"BOOKLINE_CONTACT": "me@example.org"' in shown.output


def test_the_help_loads_nothing_heavy() -> None:
    code = f"import bookline.cli.main, sys; print(sorted({HEAVY} & set(sys.modules)))"

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180
    )

    assert shown.stdout == "[]\n"


def test_a_server_is_loaded_without_a_search_for_garbage() -> None:
    """A full one among all that it loads takes 0.1 s, and there would be several. Without keys it
    refuses an address that is open to others, when all is loaded.
    """
    code = (
        "import gc, sys\n"
        "class Look:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('dbos', 'fastapi'): print(name, gc.isenabled())\n"
        "sys.meta_path.insert(0, Look())\n"
        "sys.argv = ['bookline', 'serve', '--port', '0', '--host', '0.0.0.0']\n"
        "from bookline.cli.main import run\n"
        "run()\n"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=180
    )

    assert sorted(shown.stdout.splitlines()) == ["dbos False", "fastapi False"], shown.stderr


@pytest.mark.parametrize("module", ["processes", "serving"])
def test_the_parent_of_server_processes_loads_no_server(module: str) -> None:
    """It would take 100 MB, and a second before the first of them begins."""
    code = f"import bookline.cli.{module}, sys; print(sorted({HEAVY} & set(sys.modules)))"

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180
    )

    assert shown.stdout == "[]\n"


def test_a_server_that_rests_has_nothing_in_memory_that_it_may_never_need() -> None:
    code = f"import bookline.api.serving, sys; print(sorted({SELDOM} & set(sys.modules)))"

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180
    )

    assert shown.stdout == "[]\n"


@pytest.mark.parametrize(
    ("texts", "changes"),
    [
        (["title=A=B"], {"title": "A=B"}),
        (["subtitle=", "pageCount=7"], {"subtitle": None, "pageCount": 7}),
        (["authors=Orwell, George; A. B."], {"authors": ["Orwell, George", "A. B."]}),
        (["authors=A", "authors=B"], {"authors": ["A", "B"]}),
        (["unlock=title;cover"], {"unlock": ["title", "cover"]}),
        (
            ["reading.rating=4.5", "reading.owned=yes", "reading.shelves=a;b"],
            {"reading": {"rating": 4.5, "owned": True, "shelves": ["a", "b"]}},
        ),
        (["pageCount=many", "colour=red"], {"pageCount": "many", "colour": "red"}),
    ],
)
def test_an_edit_is_fields_with_values(texts: list[str], changes: dict[str, object]) -> None:
    """What cannot be read stays as it was written, for the API's own message."""
    assert read_changes(texts) == changes


@pytest.mark.parametrize("text", ["title", "=x", ""])
def test_a_change_without_a_field_or_a_sign_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        read_changes([text])
