"""Docs that fail the build when they lie: each name in the code stands in them, and vice versa.

Way:      README.md, CHANGELOG.md, docs/ ⇄ settings, error codes, events, commands, files
Rule 1:   a table is compared as a whole, both ways: what is missing and what is too much.
Not here: the client guide's code and the shape of the examples: journeys/test_client_guide.py.
Usage:    ``python tests/unit/test_docs.py`` writes the program's help into README.md.
"""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bookline import errors, workflow
from bookline.api.envelope import RETRYABLE, STATUS
from bookline.cli import doctor
from bookline.cli.main import app
from bookline.job import CANCELLED, FAILED, JOB_STATUSES, METHODS
from bookline.live import session
from bookline.page import __path__ as page_path
from bookline.progress import batches
from bookline.progress.batches import BATCH_EVENT_TYPES
from bookline.progress.events import EVENT_TYPES, PROGRESS, WORKFLOW_PROGRESS
from bookline.rates import READ_RATE, START_RATE, read_rate
from bookline.setting_values import PREFIX
from bookline.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "bookline"
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])
DECISIONS = sorted((DOCS / "decisions").glob("*.md"))
UPDATE = "python tests/unit/test_docs.py"

EMPTY = "—"
CODE = re.compile(r"[A-Z]+(?:_[A-Z]+)+|CANCELLED")
# Both an answer's code and a job's.
SHARED = {"BOOK_NOT_FOUND", "INTERNAL_ERROR"}
# Rooms in which a job's code may be made; providers/ makes none (its strings are Google's own).
ROOMS = ("errors.py", "workflow.py", "engine", "steps", "net", "stores", "embedders")


def read(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def section(text: str, title: str, level: int = 2) -> str:
    """What stands under a heading, to the next of its level."""
    mark = "#" * level
    under = rf"^{mark} {re.escape(title)}\n(.*?)(?=^#{{1,{level}}} |\Z)"
    found = re.search(under, text, re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no section {title!r}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables in a text, without their heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rules = [place for place, row in enumerate(cells) if set("".join(row)) <= set("-: ")]
    heads = {place - 1 for place in rules}
    return [row for place, row in enumerate(cells) if place not in heads | set(rules)]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


# ------------------------------------------------------------------ settings
def _documented_settings() -> dict[str, str]:
    found = {}
    for name, default, meaning in rows(read("settings.md")):
        assert name.strip("`") not in found, f"{name} stands there twice"
        assert meaning, f"{name} has no meaning"
        found[name.strip("`")] = default.strip("`")
    return found


def test_each_setting_stands_in_the_docs_and_no_other() -> None:
    assert sorted(_documented_settings()) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_each_default_in_the_docs_is_the_true_one(name: str) -> None:
    """The program itself reads what the docs call the default."""
    documented = _documented_settings()[name.upper()]
    given = "" if documented == EMPTY else documented

    # On an address that others reach: alone on its machine nobody is limited.
    others = {} if name == "host" else {f"{PREFIX}HOST": "192.0.2.1"}

    settings = read_settings({**others, f"{PREFIX}{name.upper()}": given}, None)

    assert getattr(settings, name) == getattr(read_settings(others, None), name)


def test_a_setting_that_the_docs_mention_exists() -> None:
    names = {name.upper() for name in Settings.model_fields}
    for page in PAGES:
        mentioned = set(re.findall(rf"\b{PREFIX}([A-Z0-9_]+)\b", page.read_text("utf-8")))
        assert mentioned <= names, page.name


# ------------------------------------------------------------------ answers, failures, warnings
def test_each_code_of_an_answer_stands_there_with_its_status() -> None:
    table = rows(section(read("errors-and-events.md"), "Answers"))

    assert {code.strip("`"): int(status) for code, status, *_ in table} == dict(STATUS)


def test_the_docs_say_which_answers_may_be_asked_for_again() -> None:
    text = section(read("errors-and-events.md"), "Answers")
    [sentence] = re.findall(r"`retryable` is true for (.*?)\.", text)

    assert set(re.findall(r"`([A-Z_]+)`", sentence)) == set(RETRYABLE)


def _strings(path: Path) -> set[str]:
    """All texts in a file's code; docstrings are too long to be codes."""
    tree = ast.parse(path.read_text("utf-8"))
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def _codes_of_jobs() -> set[str]:
    """Every code that the code can give a job or a warning."""
    paths = [SOURCE / room for room in ROOMS]
    files = [file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])]
    texts = set().union(*map(_strings, files))
    own = {text for text in texts if CODE.fullmatch(text) and not text.startswith(PREFIX)}
    return (own - set(STATUS)) | (own & SHARED)


def _codes_under(title: str) -> set[str]:
    table = rows(section(read("errors-and-events.md"), title))
    return {row[0].strip("`") for row in table}


def test_each_code_of_a_job_stands_among_failures_or_warnings_and_no_other() -> None:
    assert _codes_under("Failures") | _codes_under("Warnings") == _codes_of_jobs()


def test_what_a_needed_step_may_say_stands_among_the_failures() -> None:
    needed = (workflow.FETCH_METADATA, workflow.SAVE_TO_DATABASE, workflow.SAVE_TO_FALLBACK)
    codes = {code for step in needed for code in (step.failed_code, step.timeout_code)}
    codes |= {errors.BookNotFound.code, errors.WrongKey.code, errors.MetadataIncomplete.code}
    codes |= {errors.SlowDown.code, errors.ProviderDown.code}

    assert codes <= _codes_under("Failures")


def test_what_an_optional_step_may_say_stands_among_its_warnings() -> None:
    table = rows(section(read("errors-and-events.md"), "Warnings"))
    told = {(code.strip("`"), step) for code, steps, *_ in table for step in _names(steps)}
    optional = (workflow.UPLOAD_COVER, workflow.GENERATE_EMBEDDING)
    codes = {(step.failed_code, step.name) for step in optional}
    codes |= {(step.timeout_code, step.name) for step in optional}
    codes |= {(errors.CoverRefused.code, "upload-cover"), (errors.SlowDown.code, "upload-cover")}
    embedding = (errors.EmbeddingRefused, errors.WrongKey, errors.SlowDown, errors.ProviderDown)
    codes |= {(error.code, "generate-embedding") for error in embedding}

    assert codes <= told
    assert {step for _, step in told} <= {step.name for step in workflow.STEPS}


def _names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# ------------------------------------------------------------------ events
STATUSES = {*PROGRESS, FAILED, CANCELLED}
TYPES = {*EVENT_TYPES, "ping"} - {WORKFLOW_PROGRESS}


def _examples() -> dict[str, list[dict[str, Any]]]:
    """The messages under each heading of the events."""
    events = section(read("errors-and-events.md"), "Events")
    found = {}
    for title in re.findall(r"^### `(.+)`$", events, re.MULTILINE):
        text = section(events, f"`{title}`", 3)
        blocks = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        found[title] = [json.loads(block) for block in blocks]
    return found


def test_each_type_and_status_of_an_event_has_a_section_and_no_other() -> None:
    assert set(_examples()) == STATUSES | TYPES


@pytest.mark.parametrize("title", sorted(STATUSES | TYPES))
def test_each_event_is_shown_once_and_is_what_its_heading_says(title: str) -> None:
    [message] = _examples()[title]

    if title == "ping":
        assert set(message) == set(json.loads(session.ping("job")))
    elif title in TYPES:
        assert (message["type"], message["status"]) == (title, None)
    else:
        assert (message["type"], message["status"]) == (WORKFLOW_PROGRESS, title)
        assert message["progress"] == PROGRESS.get(title, message["progress"])


@pytest.mark.parametrize("title", BATCH_EVENT_TYPES)
def test_each_event_of_a_batch_is_shown_as_it_is(title: str) -> None:
    text = section(section(read("errors-and-events.md"), "Batch events"), f"`{title}`", 3)
    [block] = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    shown = json.loads(block)
    data = shown["data"]

    made = json.loads(batches.message_of(title, shown["batchId"], shown["seq"], data, 0))
    assert {**made, "timestamp": shown["timestamp"]} == shown
    if title == batches.BATCH_ITEM:
        assert set(data) == set(batches.item_data(batches.Item(index=0, input="")))
    else:
        assert batches.standing(data["counts"], data["etaSeconds"]) == data


def test_the_share_that_each_status_stands_for_is_told() -> None:
    for status, share in PROGRESS.items():
        text = section(section(read("errors-and-events.md"), "Events"), f"`{status}`", 3)
        assert f"progress {share:g}" in text


def test_each_field_of_a_message_is_explained() -> None:
    table = rows(section(read("errors-and-events.md"), "Events"))

    assert [field.strip("`") for field, _ in table] == list(_examples()["started"][0])
    assert _names(table[0][1]) == [*EVENT_TYPES, "ping"]


def test_each_code_that_closes_a_socket_stands_in_the_client_guide() -> None:
    ours = {
        session.DONE, session.GOING_AWAY, session.BAD_TOKEN, session.TOO_SLOW, session.UNKNOWN_JOB,
    }  # fmt: skip
    table = rows(section(read("client-guide.md"), "Closing codes"))

    # 1006 is what a client's own side says of a line that broke.
    assert {int(code) for code, *_ in table} == ours | {1006}


# ------------------------------------------------------------------ the workflow
def test_the_table_of_steps_is_the_workflow() -> None:
    table = rows(section(read("the-way-of-an-import.md"), "What counts as a try"))
    shown = [
        (
            name.strip("`"),
            int(retries),
            [float(wait.removesuffix(" s")) for wait in waits.split(", ")],
            float(limit.removesuffix(" s")),
        )
        for name, retries, waits, limit in table
    ]

    assert shown == [
        (
            step.name,
            step.retries.limit,
            [step.retries.delay_after(n) for n in range(1, step.retries.limit + 1)],
            step.limit_seconds,
        )
        for step in workflow.STEPS
    ]


# ------------------------------------------------------------------ commands
def program_help() -> str:
    """What ``bookline --help`` prints at 80 columns, without colour."""
    runner = CliRunner(env={"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1"})
    result = runner.invoke(app, ["--help"], prog_name="bookline", color=False)
    assert result.exit_code == 0
    return result.output.strip("\n")


HELP = re.compile(r"(<!-- help -->\n)(.*?)(<!-- /help -->)", re.DOTALL)


def test_readmes_help_is_the_programs() -> None:
    found = HELP.search((ROOT / "README.md").read_text("utf-8"))
    assert found is not None, "README.md has no block from <!-- help --> to <!-- /help -->"
    shown = re.sub(r"^```\w*$", "", found[2], flags=re.MULTILINE).strip("\n")

    assert shown == program_help(), f"README's help is not the program's; write it with: {UPDATE}"


def test_each_command_is_in_the_help() -> None:
    listed = re.findall(r"^  ([\w-]+)  ", program_help().partition("Commands:")[2], re.MULTILINE)

    assert set(listed) == set(_commands())


def _commands() -> dict[str, Any]:
    group: Any = get_command(app)
    commands: dict[str, Any] = group.commands
    return commands


def _find_command(words: list[str]) -> Any:
    """The command that a line calls, which may be a group's."""
    command: Any = get_command(app)
    for word in words:
        inner = getattr(command, "commands", {})
        if word not in inner and inner:
            return None
        command = inner.get(word, command)
    return command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_that_the_docs_mention_exists_with_its_options(page: Path) -> None:
    text = page.read_text("utf-8")
    spans = re.findall(r"`(bookline [^`\n]+)`", text)
    lines = re.findall(r"^(?:.*/bin/)?(bookline (?!\w+\.).*)$", text, re.MULTILINE)
    for said in (*spans, *lines):
        words, options = _read_command(said)
        command = _find_command(words)
        assert command is not None, said
        has = {name for option in command.params for name in _option_names(option)}
        assert options <= has | {"--help", "-h", "--json", "--server"}, said


def _read_command(said: str) -> tuple[list[str], set[str]]:
    words = re.split(r"[|#<>…]|&&", said)[0].split()[1:]
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    return [word for word in words if not word.startswith("-")], options


def _option_names(option: Any) -> list[str]:
    return [*option.opts, *option.secondary_opts]


# ------------------------------------------------------------------ links and files
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = without_code(page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in _anchors(there), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    """A heading's anchor, as GitHub makes it."""
    heads = re.findall(r"^#+ (.+)$", without_code(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", ["client-guide.md", "operating.md"])
def test_a_long_page_begins_with_a_link_to_each_of_its_sections(name: str) -> None:
    contents, first, rest = read(name).partition("\n## ")
    heads = re.findall(r"^## (.+)$", without_code(f"{first}{rest}"), re.MULTILINE)

    assert re.findall(r"\[([^\]]+)\]\(#", contents) == heads


KEPT = {"nodes/", "objects/"}  # below DATA_DIR
FILE = re.compile(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.py|\.js|\.jsonl|\.toml))`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_of_ours_that_the_docs_mention_exists(page: Path) -> None:
    named = set(FILE.findall(page.read_text("utf-8"))) - KEPT
    worker = ROOT / "worker" / "src"
    places = (ROOT, ROOT / "src", SOURCE, SOURCE / "page", DOCS, worker, worker / "on_cloudflare")
    missing = {name for name in named if not any((place / name).exists() for place in places)}

    assert not missing


def test_each_folder_stands_in_readme() -> None:
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    text = (ROOT / "README.md").read_text("utf-8")

    assert {name for name in folders if f"`{name}/`" not in text} == set()


def test_the_guide_tells_the_limits_that_hold() -> None:
    limits = [read_rate(text) for text in (START_RATE, READ_RATE)]
    starts, reads = (limit.count for limit in limits if limit and limit.seconds == 60)

    assert f"{starts} starts and {reads} other requests a minute" in read("client-guide.md")


def test_what_doctor_is_said_to_print_is_what_it_prints() -> None:
    shown = section(read("operating.md"), "Doctor")
    printed = map(doctor.line, doctor._limits(read_settings({}, None)))

    assert [line for line in printed if line not in shown] == []


def test_client_js_is_where_the_guide_says() -> None:
    assert "/page/client.js" in read("client-guide.md")
    assert any((Path(folder) / "client.js").is_file() for folder in page_path)


# ------------------------------------------------------------------ decisions, words
HEADS = ("question", "what we saw", "we chose", "what would change our mind")


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.name)
def test_each_decision_says_what_was_asked_seen_and_chosen(page: Path) -> None:
    text = page.read_text("utf-8")
    heads = " ".join(re.findall(r"^(?:## |\*\*)(.+?)(?:\*\*|$)", text, re.MULTILINE)).lower()

    assert [head for head in HEADS if head not in heads] == []


def test_there_are_decisions() -> None:
    assert DECISIONS


@pytest.mark.parametrize("term", [row[0] for row in rows(read("glossary.md"))])
def test_each_word_of_the_glossary_is_used(term: str) -> None:
    """In the other pages and in the code: a word that nobody uses explains nothing."""
    others = " ".join(page.read_text("utf-8") for page in PAGES if page.name != "glossary.md")
    code = " ".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    word = re.compile(rf"\b{re.escape(term)}s?\b", re.IGNORECASE)

    assert word.search(others)
    assert word.search(code)


def test_the_glossary_names_the_steps_and_the_jobs_statuses() -> None:
    meanings = dict(rows(read("glossary.md")))

    assert set(_names(meanings["step"])) == {step.name for step in workflow.STEPS}
    assert _names(meanings["job"]) == list(JOB_STATUSES)
    assert set(_names(meanings["method"])) == set(METHODS)


def test_every_block_of_the_guides_code_is_of_a_language_that_is_run() -> None:
    """A block marked ``javascript`` or ``py`` would never run, and nobody would notice."""
    languages = re.findall(
        r"^```(\w*)\n(?=.*?^```$)", read("client-guide.md"), re.MULTILINE | re.DOTALL
    )

    assert {"js", "python"} <= set(languages)
    assert set(languages) - {""} <= {"js", "python", "json"}


# ------------------------------------------------------------------ the updater
def write_help() -> None:
    """Puts the program's help into README.md, between its marks."""
    page = ROOT / "README.md"
    block = f"```text\n{program_help()}\n```\n"
    page.write_text(
        HELP.sub(lambda found: found[1] + block + found[3], page.read_text("utf-8")), "utf-8"
    )


if __name__ == "__main__":
    write_help()
