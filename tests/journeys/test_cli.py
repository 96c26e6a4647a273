"""The command as users run it: child processes, a sandbox, with a server and without one."""

import asyncio
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from forked import ForkedCommand

from bookline.cli.embedded import embedded as embedded_in
from bookline.settings import read_settings
from bookline_sandbox.drawing import picture as draw

ORWELL = "9780451524935"
NO_BOOK = "9780000000019"
RUN_SECONDS = 180.0  # ends a hang
COMMAND = (sys.executable, "-m", "bookline")
QUICK = {
    "BOOKLINE_PORT": "0",
    "BOOKLINE_RATE_LIMIT_START": "off",
    "BOOKLINE_RATE_LIMIT_READ": "off",
    "BOOKLINE_RETRY_SCALE": "0.1",
    "BOOKLINE_PROVIDER_RATES": "google_books=off,openlibrary=off,isbndb=off",
}
Done = subprocess.CompletedProcess[str]
Run = Callable[..., Done]


class Process:
    """A child process whose stderr is read line by line."""

    def __init__(self, arguments: Sequence[str], env: dict[str, str], cwd: Path) -> None:
        self.child = subprocess.Popen(
            [*COMMAND, *arguments], env=env, cwd=cwd, text=True, encoding="utf-8",
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.said: list[str] = []

    def until(self, words: str) -> str:
        """The first line of stderr with these words."""
        assert self.child.stderr is not None
        for line in self.child.stderr:
            self.said.append(line)
            if words in line:
                return line
        raise AssertionError(f"{words!r} was not said:\n{''.join(self.said)}")

    def end(self, how: signal.Signals) -> tuple[int, str, str]:
        """Exit code, stdout, and stderr from its first line on."""
        self.child.send_signal(how)
        return self.rest()

    def rest(self) -> tuple[int, str, str]:
        out, err = self.child.communicate(timeout=RUN_SECONDS)
        return self.child.returncode, out, "".join(self.said) + err


@contextmanager
def process(arguments: Sequence[str], env: dict[str, str], cwd: Path) -> Iterator[Process]:
    started = Process(arguments, env, cwd)
    try:
        yield started
    finally:
        if started.child.poll() is None:
            started.child.kill()
        started.child.communicate()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[dict[str, str]]:
    """A sandbox process; the settings that lead to it, and its address as URL."""
    command = [*COMMAND, "sandbox", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        said = ""
        while not said.endswith("}\n") or said.count("}") < 2:
            said += child.stdout.readline()
        told = json.loads(said)
        yield {**told["settings"], "URL": told["url"]}
        child.send_signal(signal.SIGINT)
        assert child.wait(RUN_SECONDS) == 0


def order(sandbox: dict[str, str], **rule: Any) -> None:
    """Orders a fault."""
    request = urllib.request.Request(
        f"{sandbox['URL']}/_sandbox/faults",
        data=json.dumps(rule).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request):
        pass


def environment(sandbox: dict[str, str], folder: Path, **more: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    ours = {name: value for name, value in sandbox.items() if name != "URL"}
    data = {"BOOKLINE_DATA_DIR": str(folder / "data")}
    return {**clean, **QUICK, **ours, **data, **{f"BOOKLINE_{n}": v for n, v in more.items()}}


def run_in(env: dict[str, str], cwd: Path) -> Run:
    def run(*arguments: str, given: str = "", **more: str) -> Done:
        settings = env | {f"BOOKLINE_{name}": value for name, value in more.items()}
        return ForkedCommand(arguments, env=settings, cwd=cwd, given=given).done(RUN_SECONDS)

    return run


@pytest.fixture
def embedded(sandbox: dict[str, str], tmp_path: Path) -> Run:
    """Runs a command that has no server to ask."""
    return run_in(environment(sandbox, tmp_path), tmp_path)


@pytest.fixture(scope="module")
def served(sandbox: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Runs a command against a server, which has a key."""
    folder = tmp_path_factory.mktemp("served")
    env = environment(sandbox, folder, API_KEYS="first-key-of-the-tests,second-key-of-the-tests")
    with process(["serve"], env, folder) as server:
        port = port_of(server.until("is ready"))
        yield run_in({**env, "BOOKLINE_PORT": port}, folder)
        code, out, _ = server.end(signal.SIGTERM)
    assert (code, out) == (0, "")


def port_of(ready: str) -> str:
    return ready.partition("http://127.0.0.1:")[2].partition(" ")[0]


def job_id_of(done: Done) -> str:
    return next(word for word in done.stderr.split() if word.startswith("import-"))


# ------------------------------------------------------------------ imports
def test_a_command_that_only_looks_makes_no_data_folder(embedded: Run, tmp_path: Path) -> None:
    looked = embedded("books", "--json")

    assert (looked.returncode, json.loads(looked.stdout)["items"]) == (0, [])
    assert not (tmp_path / "data").exists()


def test_an_import_shows_each_step_and_ends_with_the_book(embedded: Run) -> None:
    done = embedded("import", ORWELL, "--source", "openlibrary")

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"✓ {ORWELL}  1984 · George Orwell · library\n"
    steps = [line.split()[1] for line in done.stderr.splitlines() if line.startswith(ORWELL)]
    assert steps == ["queued", "started", "metadata", "cover", "embedding", "save"]
    assert "\x1b" not in done.stderr
    assert "George Orwell" in embedded("search", "a state that watches everyone").stdout


@pytest.mark.parametrize("source", ["google_books", "isbndb", "auto"])
def test_every_source_imports_through_a_server(served: Run, source: str) -> None:
    done = served("import", "0-451-52493-4", "--source", source)

    assert done.returncode == 0, done.stderr
    assert "using the server at" in done.stderr
    assert done.stdout.startswith(f"✓ {ORWELL}  1984")


def test_retries_are_shown(served: Run, sandbox: dict[str, str]) -> None:
    order(sandbox, kind="503", route="openlibrary", isbn="9780060850524", times=4)

    done = served("import", "9780060850524", "--source", "openlibrary")

    assert done.returncode == 0, done.stderr
    assert "retry 1 in 0.1 s: PROVIDER_ERROR" in done.stderr
    assert "retry 2 in 0.2 s: PROVIDER_ERROR" in done.stderr


def test_a_warning_is_no_failure(served: Run, sandbox: dict[str, str]) -> None:
    order(sandbox, kind="not_image", route="covers", isbn="9780307347978", times=None)

    done = served("import", "9780307347978")

    assert done.returncode == 0, done.stderr
    assert "cover      ! COVER_REFUSED" in done.stderr
    assert done.stdout.endswith("library · 1 warning\n")


def test_json_carries_every_event(served: Run) -> None:
    done = served("import", ORWELL, "not-an-isbn", "--json")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    events = [line for line in lines if line["type"].startswith("workflow")]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert (events[0]["status"], events[-1]["status"]) == ("started", "completed")
    assert [line["type"] for line in lines if line not in events] == [
        "refused", "accepted", "summary",
    ]  # fmt: skip
    assert lines[-1]["done"] == 1
    assert done.returncode == 1


def test_the_failed_ones_are_listed_so_that_they_can_be_fed_back(served: Run) -> None:
    first = served("import", NO_BOOK, ORWELL, ORWELL)

    again = served("import", "--file", "-", given=first.stdout)

    assert first.returncode == 1
    assert "1 book imported; 1 failed" in first.stderr
    assert "imported once" in first.stderr
    assert again.returncode == 1
    assert again.stdout.splitlines() == [
        "isbn,code,reason", f"{NO_BOOK},BOOK_NOT_FOUND,no source knows {NO_BOOK}",
    ]  # fmt: skip
    once_more = served("import", "--file", "-", given=again.stdout)
    assert once_more.stdout.splitlines() == again.stdout.splitlines()


def test_a_server_that_limits_starts_is_obeyed(sandbox: dict[str, str], tmp_path: Path) -> None:
    env = environment(sandbox, tmp_path, RATE_LIMIT_START="3/minute")
    with process(["serve"], env, tmp_path) as server:
        url = f"http://127.0.0.1:{port_of(server.until('is ready'))}"

        done = run_in(env, tmp_path)(
            "--server", url, "import", ORWELL, "9780439023481", "9780618346257", "9780316769174"
        )

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("limits requests") == 1
    assert "4 books imported" in done.stderr


def test_an_import_is_followed_over_a_restart_of_the_server(
    sandbox: dict[str, str], tmp_path: Path
) -> None:
    order(sandbox, kind="hang", route="covers", isbn="9780812550702")
    env = environment(sandbox, tmp_path)
    with process(["serve"], env, tmp_path) as server:
        port = port_of(server.until("is ready"))
        command = ["--server", f"http://127.0.0.1:{port}", "import", "9780812550702"]
        with process(command, env, tmp_path) as client:
            client.until("metadata")
            assert server.end(signal.SIGTERM)[0] == 0
            with process(["serve", "--port", port], env, tmp_path) as second:
                second.until("is ready")
                code, out, err = client.rest()

    assert code == 0, err
    assert out.startswith("✓ 9780812550702")
    assert "does not answer" in err
    assert "is back" in err
    assert err.count("  metadata  ") == 1


def test_ctrl_c_interrupts_the_command_and_not_the_import(
    sandbox: dict[str, str], tmp_path: Path
) -> None:
    order(sandbox, kind="delay", route="covers", isbn="9780142437247", ms=60_000)
    env = environment(sandbox, tmp_path)
    with process(["import", "9780142437247"], env, tmp_path) as first:
        job_id = first.until("queued").split()[-1]
        first.until("metadata")
        code, out, err = first.end(signal.SIGINT)

    assert (code, out) == (130, ""), err
    assert "interrupted; what was started is safe and continues at the next start" in err
    assert "Traceback" not in err

    second = run_in(env, tmp_path)("watch", job_id)
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("✓ 9780142437247")


def test_a_command_that_is_killed_loses_nothing(sandbox: dict[str, str], tmp_path: Path) -> None:
    order(sandbox, kind="delay", route="covers", isbn="9780061120084", ms=60_000)
    env = environment(sandbox, tmp_path)
    with process(["import", "9780061120084"], env, tmp_path) as first:
        job_id = first.until("queued").split()[-1]
        first.until("metadata")
        assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL

    second = run_in(env, tmp_path)("watch", job_id)

    assert second.returncode == 0, second.stderr
    assert "continues after a restart" in second.stderr
    assert second.stdout.startswith("✓ 9780061120084")


def test_ctrl_c_pressed_twice_shows_no_traceback(sandbox: dict[str, str], tmp_path: Path) -> None:
    order(sandbox, kind="delay", route="covers", isbn="9780439023481", ms=60_000)
    with process(["import", "9780439023481"], environment(sandbox, tmp_path), tmp_path) as command:
        command.until("metadata")
        for _ in range(2):
            command.child.send_signal(signal.SIGINT)
            time.sleep(0.02)
        code, _, err = command.rest()

    assert code == 130
    assert "Traceback" not in err


async def test_nobody_but_the_command_may_ask_the_bookline_that_it_runs(
    sandbox: dict[str, str], tmp_path: Path
) -> None:
    settings = read_settings({**environment(sandbox, tmp_path)}, None)
    async with embedded_in(settings, print) as client, aiohttp.ClientSession() as stranger:
        assert (await client.jobs())["items"] == []
        async with stranger.get(f"{client.url}/v2/import/jobs") as answer:
            assert answer.status == 401


def test_a_failed_import_can_be_retried_and_a_waiting_one_cancelled(
    served: Run, sandbox: dict[str, str]
) -> None:
    order(sandbox, kind="404", route="openlibrary", isbn="9780452284241", times=1)
    failed = served("import", "9780452284241", "--source", "openlibrary")
    assert failed.returncode == 1

    retried = served("retry", job_id_of(failed))

    assert retried.returncode == 0, retried.stderr
    assert "continues, as asked" in retried.stderr
    assert served("retry", job_id_of(failed)).returncode == 1  # it is done

    order(sandbox, kind="429", route="isbndb", isbn="9780140283334", retry_after=50)
    started = served("import", "9780140283334", "--source", "isbndb", "--no-watch", "--json").stdout
    job_id = json.loads(started.splitlines()[0])["jobId"]

    assert served("cancel", job_id).stdout == f"{job_id} is cancelled\n"
    assert served("watch", job_id).returncode == 1


def test_a_terminal_gets_bars_and_its_cursor_back(served: Run, sandbox: dict[str, str]) -> None:
    order(sandbox, kind="delay", route="covers", isbn="9780307887436", ms=1500, times=1)

    shown = on_a_terminal(served, "import", "9780307887436", "--source", "openlibrary")

    assert "━━━━━" in shown
    assert "Ready Player One · Ernest Cline · library" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def on_a_terminal(served: Run, *arguments: str) -> str:
    """What a terminal of 100 columns gets."""
    ours, theirs = pty.openpty()
    env = served("config", "--json")  # the settings, as the fixture's commands get them
    settings = {k: v for k, v in json.loads(env.stdout).items() if v and "*" not in v}
    keys = {
        "BOOKLINE_API_KEYS": "first-key-of-the-tests",
        "COLUMNS": "100",
        "LINES": "30",
        "TERM": "xterm",
    }
    kept = {name: settings[name] for name in ("BOOKLINE_PORT", "BOOKLINE_DATA_DIR")}
    clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**clean, **kept, **keys},
    ):  # fmt: skip
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # Linux says so when the other side has closed
            while part := os.read(ours, 65_536):
                shown += part
    os.close(ours)
    return shown.decode()


# ------------------------------------------------------------------ the rest
def test_the_library_can_be_listed_shown_and_searched(served: Run) -> None:
    assert served("import", ORWELL, "9780618260300", "9780439023481").returncode == 0

    books = json.loads(served("books", "--limit", "2", "--json").stdout)
    every = served("books", "--all").stdout.splitlines()
    book = served("book", "0451524934").stdout
    found = json.loads(served("search", "a hobbit and a dragon", "--json").stdout)

    assert len(books["items"]) == 2
    assert books["nextCursor"] is not None
    assert f"{ORWELL}\t1984\tGeorge Orwell\t1961" in every
    assert "George Orwell" in book
    assert found["items"][0]["book"]["title"] == "The Hobbit"


@pytest.mark.parametrize("where", ["served", pytest.param("embedded", marks=pytest.mark.slow)])
def test_a_book_is_edited_exported_and_deleted(
    where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    run: Run = request.getfixturevalue(where)
    isbn = "9780156012195"
    picture = tmp_path / "mine.png"
    picture.write_bytes(draw("mine", "me", 1, (300, 400), "PNG"))
    assert run("import", isbn).returncode == 0

    edited = run("edit", isbn, "title=Mine", f"cover={picture}", "reading.rating=4.5", "--json")
    wrong = run("edit", isbn, "pageCount=many")
    found = json.loads(run("books", "mine", "--sort", "title", "--json").stdout)
    rows = run("export").stdout.splitlines()
    books = json.loads(run("export", "--format", "json").stdout)
    deleted = run("delete", isbn)
    gone = run("delete", isbn)

    assert edited.returncode == 0, edited.stderr
    assert json.loads(edited.stdout)["locked"] == ["title", "cover"]
    assert (wrong.returncode, "pageCount" in wrong.stderr) == (2, True)
    assert [(book["isbn"], book["cover"]["width"]) for book in found["items"]] == [(isbn, 300)]
    assert any(row.startswith(f"{isbn},") and ",Mine," in row and ",4.5," in row for row in rows)
    assert isbn in {book["isbn"] for book in books}
    assert (deleted.returncode, gone.returncode) == (0, 3)
    assert run("export", "--format", "xml").returncode == 2


@pytest.mark.parametrize(
    ("code", "words", "line"),
    [
        (0, "", ["jobs", "--status", "completed", "--limit", "1"]),
        (1, "BOOK_NOT_FOUND", ["import", NO_BOOK]),
        (1, "no Bookline answers", ["--server", "http://127.0.0.1:9", "jobs"]),
        (2, "check digit", ["import", "9780451524936"]),
        (2, "source must be one of", ["import", ORWELL, "--source", "amazon"]),
        (2, "status must be one of", ["jobs", "--status", "lost"]),
        (2, "give at least one ISBN", ["import"]),
        (2, "cannot read", ["import", "--file", "no-such-file"]),
        (3, "there is no job", ["status", "import-9780451524935-1-none"]),
        (3, "there is no job", ["watch", "import-9780451524935-1-none"]),
        (3, "is not in the library", ["book", "9780131103627"]),
    ],
)
def test_exit_codes_tell_what_happened(served: Run, code: int, words: str, line: list[str]) -> None:
    done = served(*line)

    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_key_is_told(served: Run) -> None:
    done = served("jobs", API_KEYS="another-key-of-the-tests")

    assert done.returncode == 1
    assert "API key" in done.stderr


def test_a_setting_that_does_not_exist_is_refused_by_name(embedded: Run) -> None:
    for command in ("config", "serve", "import"):
        done = embedded(command, NONSENSE="1", RETRY_SCALE="fast")

        assert done.returncode == 2
        assert "BOOKLINE_NONSENSE is not a setting" in done.stderr
        assert "BOOKLINE_RETRY_SCALE:" in done.stderr
        assert "Traceback" not in done.stderr


def test_config_masks_secrets(embedded: Run) -> None:
    shown = embedded(
        "config", ISBNDB_API_KEY="very-secret", API_KEYS="one-very-secret-key,two-very-secret-keys"
    ).stdout

    assert "very-secret" not in shown
    assert "one,two" not in shown
    assert "BOOKLINE_ISBNDB_API_KEY" in shown


def test_who_reads_only_the_first_lines_is_not_complained_to(
    sandbox: dict[str, str], tmp_path: Path
) -> None:
    with process(["config"], environment(sandbox, tmp_path), tmp_path) as reading:
        assert reading.child.stdout is not None
        reading.child.stdout.close()  # as `| head` does that has seen enough
        assert reading.child.stderr is not None
        said = reading.child.stderr.read()
        reading.child.wait(RUN_SECONDS)

    assert said == ""


def test_the_doctor_tells_what_limits_and_what_is_wrong(embedded: Run, tmp_path: Path) -> None:
    well = embedded("doctor", "--json", GOOGLE_BOOKS_URL="https://www.googleapis.com/books/v1")
    report = {one["name"]: one for one in json.loads(well.stdout)["checks"]}
    assert well.returncode == 0, well.stderr
    assert report["google_books"]["state"] == "warning"
    assert "BOOKLINE_GOOGLE_BOOKS_API_KEY" in report["google_books"]["todo"]
    assert report["embedder"]["state"] == "ok"

    (tmp_path / "file").write_text("no folder")
    ill = embedded("doctor", DATA_DIR=str(tmp_path / "file"))

    assert ill.returncode == 1
    assert "✗ data folder" in ill.stdout
    assert "Traceback" not in ill.stderr


def test_a_port_that_is_taken_is_told(sandbox: dict[str, str], tmp_path: Path) -> None:
    port = sandbox["URL"].rsplit(":", 1)[1]

    done = run_in(environment(sandbox, tmp_path), tmp_path)("serve", "--port", port)

    assert done.returncode == 1
    assert f"port {port} is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_open_address_without_keys_is_refused(embedded: Run) -> None:
    done = embedded("serve", "--host", "0.0.0.0")

    assert done.returncode == 2
    assert "BOOKLINE_API_KEYS" in done.stderr


@pytest.mark.slow
async def test_the_demo_goes_as_it_should(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    demo = await asyncio.create_subprocess_exec(
        *COMMAND, "demo", "--once", "--port", "0", cwd=tmp_path, env=clean,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip

    out, err = await asyncio.wait_for(demo.communicate(), RUN_SECONDS)

    assert demo.returncode == 0, err.decode()
    assert "12 books imported, 1 with warnings; 1 failed" in err.decode()
    assert "The server was killed" in err.decode()
    assert "George Orwell" in out.decode()


async def test_the_demo_waits_until_somebody_watches(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if "BOOKLINE" not in name}
    ours, theirs = os.openpty()
    demo = await asyncio.create_subprocess_exec(
        *COMMAND, "demo", "--port", "0", cwd=tmp_path, env=clean, stdin=theirs,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert demo.stderr is not None
    told: list[str] = []

    async def hear(words: str) -> None:
        while words not in "".join(told[-1:]):
            line = await demo.stderr.readline()  # type: ignore[union-attr]
            assert line, "".join(told)
            told.append(line.decode())

    async with asyncio.timeout(RUN_SECONDS):
        await hear("press Enter")
        assert not any("queued" in line for line in told)
        url = re.search(r"http://\S+?(?=[, ])", "".join(told))
        assert url is not None
        async with aiohttp.ClientSession() as page, page.get(url[0]) as answer:
            assert answer.status == 200
        await hear("12 books imported")
        await hear("Ctrl-C ends")
        demo.send_signal(signal.SIGINT)
        await demo.stderr.read()

        assert await demo.wait() == 0
    os.close(ours)
    os.close(theirs)
