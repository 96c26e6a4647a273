"""What the command line accepts, without running anything."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from bookline import __version__
from bookline.cli.main import app

COMMANDS = (
    "serve", "import", "status", "watch", "cancel", "retry", "jobs", "books", "book", "search",
    "config", "doctor", "sandbox", "demo", "rollout", "metrics",
)  # fmt: skip
HEAVY = {
    "dbos",
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "PIL",
    "wordllama",
    "numpy",
    "aiohttp",
    "matplotlib",
}


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
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert shown.stdout == "[]\n"
