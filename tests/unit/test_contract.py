"""docs/contract.md is held to the code, and nothing points to papers that are not here.

Rule 1:  each list is compared as a whole, both ways: what is missing and what is too much.
"""

import re
from pathlib import Path

import pytest
from test_docs import rows, section
from typer.main import get_command

from bookline import aside, patience, webhooks
from bookline.api import bodies, keys, protocols
from bookline.api.envelope import STATUS
from bookline.api.server import create_server
from bookline.batches import items, there
from bookline.cli.main import app
from bookline.engine import tries, upkeep
from bookline.net import cover_rules, picture_headers
from bookline.progress import batches, events, hub
from bookline.progress.batches import BATCH_EVENT_TYPES
from bookline.progress.events import EVENT_TYPES, PROGRESS
from bookline.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
CONTRACT = (ROOT / "docs" / "contract.md").read_text("utf-8")
PLACES = ("src", "tests", "benchmarks", "docs", "README.md", "CHANGELOG.md")
TEXTS = {".py", ".md", ".js", ".html", ".css", ".yml", ".toml"}
PAPERS = re.compile(
    r"\bSPEC\b|\bDESIGN\b|\bPITFALLS?\b|\bCASES\.md|\bPROVIDERS(?: §|\.md)"
    r"|\bPLAN(?:\.md|'s| says|,? phase)"
)
"""Names of papers that do not lie in the project."""


DAY_SECONDS = 86_400
NUMBERS = [
    ("honoured up to 60 s", tries.MOST_RETRY_AFTER_SECONDS, 60),
    ("A store that is away** for up to 60 s", patience.STORE_SECONDS, 60),
    ("for 30 days, the result says", aside.TTL_SECONDS, 30 * DAY_SECONDS),
    ("Bodies have at most 16 KB", bodies.USUAL_BODY_BYTES, 16 << 10),
    ("a cover 10 MB", cover_rules.MOST_BYTES, 10 << 20),
    ("at least 50 × 50", picture_headers.SMALLEST_SIDE, 50),
    ("at most 40 megapixels", picture_headers.MOST_PIXELS, 40_000_000),
    ("up to 10,000: 202", items.ITEMS_MOST, 10_000),
    ("asked in the last 30 days", there.ASKED_MS, 30 * DAY_SECONDS * 1000),
    ("job for 2 hours", keys.TOKEN_SECONDS, 2 * 3_600),
    ("head has at most 64 KB", protocols.HEAD_BYTES, 64 << 10),
    ("arrives within 10 s", protocols.HEAD_SECONDS, 10),
    ("posted again for 24 hours", webhooks.GIVE_UP_MS, DAY_SECONDS * 1000),
    ("kept for 7 days", upkeep.RECORD_MS, 7 * DAY_SECONDS * 1000),
    ("once a second", batches.PROGRESS_MS, 1_000),
]
"""Words of the contract, the code's number, and what the words say."""


def names(title: str) -> set[str]:
    """What stands in backquotes in the lists of a section."""
    lines = [line for line in section(CONTRACT, title).splitlines() if line.startswith("`")]
    return set(re.findall(r"`([^`]+)`", "\n".join(lines)))


def first_cells(title: str) -> set[str]:
    return {row[0].strip("`") for row in rows(section(CONTRACT, title))}


def test_each_route_is_in_the_contract_and_no_other(tmp_path: Path) -> None:
    settings = read_settings({"BOOKLINE_DATA_DIR": str(tmp_path)}, None)
    document = create_server(settings)._app.openapi()  # type: ignore[attr-defined]
    served = {
        f"{method.upper()} {path.replace('{job_id}', '{jobId}').replace('{batch_id}', '{batchId}')}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    unlisted = {"WS /ws/progress", "GET /docs", "GET /openapi.json"}  # not in OpenAPI

    assert first_cells("API") - unlisted == served - unlisted
    assert unlisted <= first_cells("API")


def test_each_code_is_in_the_contract_with_its_status() -> None:
    table = rows(section(CONTRACT, "Codes"))

    assert {code.strip("`"): int(status) for code, status in table} == dict(STATUS)


def test_each_type_and_status_of_an_event_is_in_the_contract() -> None:
    assert first_cells("Events") == {*EVENT_TYPES, *BATCH_EVENT_TYPES, "ping"}
    assert all(f"`{status}`" in section(CONTRACT, "Events") for status in PROGRESS)


def test_each_setting_is_in_the_contract_and_no_other() -> None:
    assert names("Settings") == {name.upper() for name in Settings.model_fields}


def test_each_command_is_in_the_contract_and_no_other() -> None:
    commands = set()
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        commands |= {f"{name} {one}" for one in inner} if inner else {name}

    assert names("Commands") == commands


def _files() -> list[Path]:
    found = []
    for place in PLACES:
        path = ROOT / place
        found += [path] if path.is_file() else sorted(path.rglob("*"))
    return [path for path in found if path.suffix in TEXTS and path != Path(__file__)]


def test_nothing_points_to_a_paper_that_is_not_in_the_project() -> None:
    pointing = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}"
        for path in _files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if PAPERS.search(line)
    ]

    assert pointing == []


@pytest.mark.parametrize(
    "line",
    ["# SPEC §3", "see DESIGN.md", "(PITFALLS 12)", "PROVIDERS §1", "as PLAN says"],
)
def test_such_a_reference_would_be_found(line: str) -> None:
    assert PAPERS.search(line)


@pytest.mark.parametrize(("words", "found", "promised"), NUMBERS)
def test_each_number_of_the_contract_is_the_codes(
    words: str, found: float, promised: float
) -> None:
    assert words in CONTRACT
    assert found == promised


def test_what_the_contract_bounds_lies_within() -> None:
    assert "A message is below 32 KB" in CONTRACT
    assert events.MESSAGE_BYTES < 32 << 10
    assert "A ping comes every 30 s" in CONTRACT
    assert hub.PING_SECONDS < 30
