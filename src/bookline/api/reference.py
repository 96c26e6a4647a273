"""The API's reference as one plain page, made from the OpenAPI document.

Rule 1:  all text is escaped; the page needs no script.
"""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Bookline API</title><link rel="stylesheet" href="/page/reference.css"></head>
<body class="reference">
<header><h1>Bookline API <small>{version}</small></h1><p>{about}</p>
<p><a href="/openapi.json">openapi.json</a> <a href="/">Back to the page</a></p></header><main>
"""
TAIL = "</main></body></html>\n"


def render_reference(document: dict[str, Any]) -> str:
    """HTML: each operation with its parameters, body and answers, then each shape."""
    info = document["info"]
    schemas = document["components"]["schemas"]
    parts = [HEAD.format(version=escape(info["version"]), about=_text(info["description"]))]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts.append(_operation(path, method, operation, schemas))
    parts.append("<h2>Shapes</h2>")
    for name, schema in schemas.items():
        parts.append(_details(name, schema, open_=False))
    parts.append(TAIL)
    return "".join(parts)


def _operation(
    path: str, method: str, operation: dict[str, Any], schemas: Mapping[str, Any]
) -> str:
    rows = "".join(
        f"<tr><th scope=row><code>{escape(one['name'])}</code></th><td>{escape(one['in'])}</td>"
        f"<td>{_text(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", [])
    )
    answers = "".join(
        f"<tr><th scope=row>{escape(status)}</th><td>{_text(answer['description'])}</td></tr>"
        for status, answer in operation["responses"].items()
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = body.get("schema", {}).get("$ref", "").rpartition("/")[2]
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p><strong>{escape(operation.get('summary', ''))}.</strong> "
        f"{_text(operation.get('description', ''))}</p>"
        + (f"<table><caption>Parameters</caption>{rows}</table>" if rows else "")
        + (_details(f"Body: {name}", schemas[name], open_=True) if name else "")
        + f"<table><caption>Answers</caption>{answers}</table></section>"
    )


def _details(name: str, schema: dict[str, Any], *, open_: bool) -> str:
    shown = escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return (
        f"<details{' open' if open_ else ''}><summary>{escape(name)}</summary>"
        f"<pre tabindex=0>{shown}</pre></details>"
    )


def _text(markdown: str) -> str:
    """Escaped, with `code` marked: all the markup that our descriptions use."""
    pieces = escape(markdown).split("`")
    return "".join(
        f"<code>{piece}</code>" if number % 2 else piece for number, piece in enumerate(pieces)
    )
