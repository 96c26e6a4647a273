"""The client guide's code runs, as it stands on the page, against a real server.

Way:      docs/client-guide.md → its ```python and ```js blocks → a program each → server, sandbox
Rule 1:   nothing is changed but the server's address. What a line should print stands behind "→".
Rule 2:   functions of the guide are taken out of it too, and used while a server dies.
Not here: the Python client while a server dies: test_client.py.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from stack import Server, server

from bookline_sandbox import Sandbox

pytestmark = pytest.mark.asyncio(loop_scope="session")

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "client-guide.md").read_text("utf-8")
ADDRESS = "https://books.example"
KEY = "secret-key-of-16-or-more"
ISBN = "9780451524935"
LATENCY_MS = 600  # so that a cancel comes in time
DELAY_MS = 12_000  # so that a kill comes in the middle
RUN_SECONDS = 150.0  # a client gives a silent line 45 s before it comes back
NODE = shutil.which("node")
MILESTONES = ["started", "metadata_fetched", "cover_uploaded", "embedding_generated", "completed"]
# Global since Node 22 and browsers for ever; before, behind these. A Node that does not know a
# flag is one that does not have the thing.
FLAGS = ("--experimental-websocket", "--experimental-eventsource")


def blocks(language: str) -> list[str]:
    """The guide's code in one language, in its order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def promised(code: str) -> list[str]:
    """What the guide says that the code prints."""
    return re.findall(r"^\s*(?://|#) → (.*)$", code, re.MULTILINE)


def at(url: str, code: str) -> str:
    """The code, with the guide's server at this address."""
    sockets = ADDRESS.replace("https", "wss")
    return code.replace(ADDRESS, url).replace(sockets, url.replace("http", "ws"))


async def run(*command: str, folder: Path) -> list[str]:
    """The lines that a program prints; it must end well and complain of nothing."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            out, complaints = await process.communicate()
    except TimeoutError:
        process.kill()
        out, complaints = await process.communicate()
        complaints += f"\ncut after {RUN_SECONDS:g} s".encode()
    assert process.returncode == 0, f"{complaints.decode()}\nprinted:\n{out.decode()}"
    return out.decode().splitlines()


def node_flags() -> list[str]:
    """What this Node needs for WebSocket and EventSource; skips where it has neither."""
    if NODE is None:
        pytest.skip("Node is not installed: the guide's JavaScript was not run")
    flags = [*FLAGS, "--no-warnings"]
    probe = "process.exit(typeof WebSocket + typeof EventSource === 'functionfunction' ? 0 : 1)"
    if subprocess.run([NODE, *flags, "-e", probe], capture_output=True, check=False).returncode:
        pytest.skip("this Node has no WebSocket and EventSource: 20.18 or newer has")
    return flags


def javascript(folder: Path, url: str, code: str) -> Path:
    """The code as a file, beside the client.js that a server would serve."""
    client = (files("bookline.page") / "client.js").read_text("utf-8")
    (folder / "client.js").write_text(client, "utf-8")
    (folder / "package.json").write_text('{"type": "module"}', "utf-8")
    program = folder / "guide.js"
    program.write_text(at(url, code), "utf-8")
    return program


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(latency_ms=LATENCY_MS) as running:
        yield running


def bookline(sandbox: Sandbox, folder: Path) -> AbstractAsyncContextManager[Server]:
    env = sandbox.settings() | {"BOOKLINE_API_KEYS": KEY}
    return server(env, folder / "data", headers={"Authorization": f"Bearer {KEY}"})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running(
    sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Server]:
    async with bookline(sandbox, tmp_path_factory.mktemp("guide")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def mortal(sandbox: Sandbox, tmp_path: Path) -> AsyncIterator[Server]:
    """One that a test may kill."""
    async with bookline(sandbox, tmp_path) as started:
        yield started


# ------------------------------------------------------------------ as it stands on the page
async def test_the_python_runs_and_prints_what_the_guide_says(
    running: Server, tmp_path: Path
) -> None:
    code = "\n".join(blocks("python"))
    (tmp_path / "guide.py").write_text(at(running.url, code), "utf-8")

    lines = await run(sys.executable, "-W", "error", "guide.py", folder=tmp_path)

    assert promised(code)
    assert lines == promised(code)


async def test_the_javascript_runs_and_prints_what_the_guide_says(
    running: Server, tmp_path: Path
) -> None:
    flags = node_flags()
    code = "\n".join(blocks("js"))
    program = javascript(tmp_path, running.url, code)

    lines = await run(str(NODE), *flags, program.name, folder=tmp_path)

    assert promised(code)
    assert lines == promised(code)


# ------------------------------------------------------------------ through a restart
@pytest.mark.parametrize("follower", ["over a WebSocket, by hand", "over SSE, by client.js"])
async def test_the_javascript_followers_resume_when_the_server_is_killed(
    mortal: Server, sandbox: Sandbox, tmp_path: Path, follower: str
) -> None:
    flags = node_flags()
    sandbox.faults.add(kind="delay", ms=DELAY_MS, route="google_books")
    begun = await mortal.begin(ISBN)
    job, token = json.dumps(begun["jobId"]), json.dumps(begun["token"])
    if "by hand" in follower:
        [function] = [block for block in blocks("js") if "function followByHand" in block]
        code = f"{function}\nawait followByHand({job}, {token}, tell);\n"
    else:  # with a key and no token it cannot take a socket
        code = (
            'import { createClient } from "./client.js";\n'
            f'const client = createClient({{ baseUrl: "{ADDRESS}", key: "{KEY}" }});\n'
            f"await client.follow({job}, {{ onEvent: tell }});\n"
        )
    tell = "const tell = (event) => console.log(JSON.stringify(event));\n"
    program = javascript(tmp_path, mortal.url, tell + code)

    process = await asyncio.create_subprocess_exec(
        str(NODE), *flags, program.name, cwd=tmp_path, stdout=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(RUN_SECONDS):
            assert process.stdout is not None
            first = await process.stdout.readline()
            await mortal.kill()
            await mortal.start()
            rest = await process.stdout.read()
            code_of_end = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert code_of_end == 0
    _is_whole([json.loads(line) for line in (first + rest).splitlines()])


async def test_an_answer_that_never_comes_is_not_awaited_for_ever(tmp_path: Path) -> None:
    flags = node_flags()
    code = (
        'import { createClient } from "./client.js";\n'
        f'const client = createClient({{ baseUrl: "{ADDRESS}" }});\n'
        'await client.getStatus("job").catch(({ code }) => console.log(code));\n'
    )
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        program = javascript(tmp_path, f"http://127.0.0.1:{port}", code)
        client = tmp_path / "client.js"
        patient = client.read_text("utf-8")
        client.write_text(patient.replace("ANSWER_MS = 30_000", "ANSWER_MS = 300"), "utf-8")

        lines = await run(str(NODE), *flags, program.name, folder=tmp_path)

    assert asked.is_set()
    assert lines == ["UNREACHABLE"]


# ------------------------------------------------------------------ the examples
async def test_the_examples_have_the_shape_of_real_messages(
    running: Server, sandbox: Sandbox
) -> None:
    """``errors-and-events.md`` shows one message of each kind; a run tells what they are like."""
    poor = "9780465026562"
    sandbox.faults.add(kind="503", route="google_books", isbn=poor)
    sandbox.faults.add(kind="not_image", route="covers", isbn=poor, times=None)
    told = []
    for isbn in (ISBN, poor, "9780000000019"):
        begun = await running.begin(isbn, source="google_books")
        told += await running.story(begun["jobId"])
    real = {_kind(message): _shape(message) for message in told}

    shown = [json.loads(text) for text in _shown_messages()]

    compared = {_kind(message): _shape(message) for message in shown}
    assert set(real) == {*MILESTONES, "failed", "workflow_retry", "workflow_warning"}
    assert {kind: compared.get(kind) for kind in real} == real


def _shown_messages() -> list[str]:
    text = (DOCS / "errors-and-events.md").read_text("utf-8")
    found = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for block in found if '"type"' in block]


def _kind(message: dict[str, Any]) -> str:
    return str(message.get("status") or message["type"])


def _shape(value: Any) -> Any:
    """Names all the way down, without what they hold: null stands for anything."""
    if isinstance(value, dict):
        return {name: _shape(inner) for name, inner in value.items()}
    return "…"


def _is_whole(story: list[dict[str, Any]]) -> None:
    """Gapless, never doubled, in order, and it tells of the restart."""
    assert [event["seq"] for event in story] == list(range(1, len(story) + 1))
    assert [event["status"] for event in story if event["status"]] == MILESTONES
    assert "workflow_resumed" in {event["type"] for event in story}
