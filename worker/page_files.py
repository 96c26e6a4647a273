"""What Cloudflare serves without asking the Worker: the page, the OpenAPI document, the reference.

Way:     make worker → build.py → here → ``assets/``, which wrangler and the bench take as it is
Rule 1:  the files and their headers are the server's own; of the document, what the Worker answers.
Source:  https://developers.cloudflare.com/workers/static-assets/
"""

import json
import shutil
from pathlib import Path
from typing import Any

from bookline.api.page import HEADERS, TYPES
from bookline.api.reference import render_reference
from bookline.api.server import create_server
from bookline.settings import Settings

WORKER = Path(__file__).parent
PAGE = WORKER.parent / "src" / "bookline" / "page"
ASSETS = WORKER / "assets"
NOT_HERE = ("/metrics", "/opds")
"""Cloudflare has metrics of its own; a catalogue for readers' apps would not fit the upload."""
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def lay_page() -> None:
    """Makes the folder anew."""
    shutil.rmtree(ASSETS, ignore_errors=True)
    (ASSETS / "page").mkdir(parents=True)
    for path in PAGE.iterdir():
        if path.suffix[1:] in TYPES:
            shutil.copy(path, ASSETS / "page" / path.name)
    (ASSETS / "page" / "index.html").rename(ASSETS / "index.html")
    document = worker_document()
    (ASSETS / "openapi.json").write_text(json.dumps(document))
    (ASSETS / "docs.html").write_text(render_reference(document))
    lines = [f"  {name}: {value}\n" for name, value in {**HEADERS, **SAFE}.items()]
    (ASSETS / "_headers").write_text("/*\n" + "".join(lines))


def worker_document() -> dict[str, Any]:
    """The server's OpenAPI document without what only a server answers."""
    gate = create_server(Settings.model_validate({"token_secret": "s" * 32}))  # it is not started
    document: dict[str, Any] = json.loads(json.dumps(gate.openapi()))
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if not path.startswith(NOT_HERE)
    }
    return document
