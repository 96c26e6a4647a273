"""Clients made from the OpenAPI document compile, and so do the types beside client.js.

Way:      the document → openapi-typescript → the TypeScript compiler, from the npm registry
Rule 1:   where they cannot be installed, the test says so and is skipped.
"""

import json
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import pytest

from bookline.api.server import create_server
from bookline.settings import read_settings

PACKAGES = ("typescript@5", "openapi-typescript@7", "openapi-fetch@0.14")
SECONDS = 240
APP = """
import createFetch from "openapi-fetch";
import type { components, operations, paths } from "./api";
import { BooklineError, createClient } from "./client.js";
import type { BooklineEvent } from "./client.js";

type Book = components["schemas"]["Book"];
type Start = operations["startImport"]["requestBody"]["content"]["application/json"];

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


@pytest.mark.slow
def test_a_typescript_client_compiles(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    (tmp_path / "package.json").write_text("{}")
    installed = run(tmp_path, "npm", "install", "--no-audit", "--no-fund", *PACKAGES)
    if installed.returncode:
        pytest.skip(f"npm cannot install: {installed.stderr[-300:]}")
    gate = create_server(read_settings({"BOOKLINE_DATA_DIR": str(tmp_path / "data")}, None))
    document = cast(Any, gate._app).openapi()
    (tmp_path / "openapi.json").write_text(json.dumps(document), "utf-8")
    (tmp_path / "tsconfig.json").write_text(json.dumps(OPTIONS))
    (tmp_path / "app.ts").write_text(APP)
    types = (files("bookline.page") / "client.d.ts").read_text("utf-8")
    (tmp_path / "client.d.ts").write_text(types, "utf-8")

    made = run(tmp_path, "npx", "openapi-typescript", "openapi.json", "-o", "api.ts")
    assert made.returncode == 0, made.stderr
    compiled = run(tmp_path, "npx", "tsc", "-p", ".")

    assert compiled.returncode == 0, compiled.stdout


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
    )
