"""Clients made from the OpenAPI document compile, and so do the types beside client.js.

Way:      the document → openapi-typescript → the TypeScript compiler, from the npm registry
          the document → openapi-python-client, from PyPI → mypy, and a server that it talks to
Rule 1:   where they cannot be installed, the test says so and is skipped.
"""

import json
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import pytest
from page_stack import Stack

from bookline.api.server import create_server
from bookline.settings import read_settings

PACKAGES = ("typescript@5", "openapi-typescript@7", "openapi-fetch@0.14")
SECONDS = 240
APP = """
import createFetch from "openapi-fetch";
import type { components, paths } from "./api";
import { BooklineError, createClient } from "./client.js";
import type { BooklineEvent } from "./client.js";

type Book = components["schemas"]["Book"];
type Start = components["schemas"]["ImportRequest"];

const api = createFetch<paths>({ baseUrl: "http://127.0.0.1:8787" });

export async function titles(): Promise<string[]> {
  const { data } = await api.GET("/v2/books", { params: { query: { q: "whale", limit: 10 } } });
  return (data?.data.items ?? []).map((book: Book) => book.title);
}

export async function start(isbn: string): Promise<string> {
  const body: Start = { isbn };
  const { data, error } = await api.POST("/v2/import/workflow", { body });
  if (!data) throw new Error(error?.error.code);
  return data.data.jobId;
}

export async function watch(isbn: string): Promise<string> {
  const client = createClient({ key: null });
  const seen: BooklineEvent[] = [];
  try {
    const { jobId, token } = await client.startImport(isbn, { source: "auto" });
    const { reason } = await client.follow(jobId, { token, onEvent: (event) => seen.push(event) });
    return reason;
  } catch (error) {
    return error instanceof BooklineError ? error.code : "";
  }
}

// @ts-expect-error: no such route
api.GET("/v2/nothing");
// @ts-expect-error: follow needs onEvent
createClient().follow("job", {});
"""
OPTIONS = {
    "compilerOptions": {
        "strict": True, "noEmit": True, "target": "ES2022", "module": "ES2022",
        "moduleResolution": "bundler", "lib": ["ES2022", "DOM"], "skipLibCheck": False,
        "types": [],
    },
    "files": ["app.ts"],
}  # fmt: skip


GENERATOR = "openapi-python-client==0.29.1"
PYTHON_APP = """
import sys
import time

from bookline_api.api.imports import get_import, start_import
from bookline_api.api.library import list_books
from bookline_api.client import Client
from bookline_api.models.book import Book
from bookline_api.models.book_page_answer import BookPageAnswer
from bookline_api.models.failure import Failure
from bookline_api.models.import_request import ImportRequest
from bookline_api.models.job import Job
from bookline_api.models.job_answer import JobAnswer
from bookline_api.models.started_answer import StartedAnswer


def start(client: Client, isbn: str) -> str:
    answer = start_import.sync(client=client, body=ImportRequest(isbn=isbn))
    if isinstance(answer, StartedAnswer):
        return answer.data.job_id
    return answer.error.code if isinstance(answer, Failure) else ""


def job(client: Client, job_id: str) -> Job:
    answer = get_import.sync(job_id, client=client)
    assert isinstance(answer, JobAnswer)
    return answer.data


def books(client: Client) -> list[Book]:
    answer = list_books.sync(client=client, q="orwell", limit=10)
    return answer.data.items if isinstance(answer, BookPageAnswer) else []


client = Client(base_url=sys.argv[1])
assert start(client, "123") == "INVALID_ISBN"
job_id = start(client, "9780451524935")
while job(client, job_id).status in {"queued", "running"}:
    time.sleep(0.05)
print(job(client, job_id).status, *(book.title for book in books(client)))
"""


@pytest.mark.slow
def test_a_typescript_client_compiles(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    (tmp_path / "package.json").write_text("{}")
    installed = run(tmp_path, "npm", "install", "--no-audit", "--no-fund", *PACKAGES)
    if installed.returncode:
        pytest.skip(f"npm cannot install: {installed.stderr[-300:]}")
    write_document(tmp_path)
    (tmp_path / "tsconfig.json").write_text(json.dumps(OPTIONS))
    (tmp_path / "app.ts").write_text(APP)
    types = (files("bookline.page") / "client.d.ts").read_text("utf-8")
    (tmp_path / "client.d.ts").write_text(types, "utf-8")

    made = run(tmp_path, "npx", "openapi-typescript", "openapi.json", "-o", "api.ts")
    assert made.returncode == 0, made.stderr
    compiled = run(tmp_path, "npx", "tsc", "-p", ".")

    assert compiled.returncode == 0, compiled.stdout


@pytest.mark.slow
def test_a_python_client_compiles_and_imports_a_book(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    programs = generator(Path(request.config.cache.mkdir("openapi-python-client")))
    write_document(tmp_path)
    (tmp_path / "app.py").write_text(PYTHON_APP)

    made = run(
        tmp_path, programs / "openapi-python-client", "generate",
        "--path", "openapi.json", "--output-path", "bookline_api", "--meta", "none",
    )  # fmt: skip
    assert made.returncode == 0, made.stdout
    # What the generator puts beside them is its own matter.
    ours = ("app.py", "bookline_api/api", "bookline_api/models")
    options = ("--strict", "--follow-imports=silent", "--python-executable", programs / "python")
    compiled = run(tmp_path, sys.executable, "-m", "mypy", *options, *ours)
    with Stack(tmp_path) as stack:
        done = run(tmp_path, programs / "python", "app.py", stack.url)

    assert compiled.returncode == 0, compiled.stdout
    assert done.stdout == "completed 1984\n", done.stderr


def generator(folder: Path) -> Path:
    """Its programs, in an environment of its own that is made at the first use."""
    programs = folder / "bin"
    if not (programs / "openapi-python-client").exists():
        run(folder, sys.executable, "-m", "venv", "--clear", folder)
        installed = run(folder, programs / "python", "-m", "pip", "install", "-q", GENERATOR)
        if installed.returncode:
            pytest.skip(f"pip cannot install {GENERATOR}: {installed.stderr[-300:]}")
    return programs


def write_document(folder: Path) -> None:
    gate = create_server(read_settings({"BOOKLINE_DATA_DIR": str(folder / "data")}, None))
    document = cast(Any, gate._app).openapi()
    (folder / "openapi.json").write_text(json.dumps(document), "utf-8")


def run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
