"""What operators see: metrics, traces, log lines; and nothing in them of what people read."""

import asyncio
import json
import logging
import re
import sys
from pathlib import Path

import pytest
from aiohttp import web
from stack import PATIENCE_SECONDS, server

from bookline import logs
from bookline.measures import Measures
from bookline.progress.records import OUTCOMES
from bookline_sandbox import Sandbox

ROOT = Path(__file__).parents[2]
ISBN = "9780451524935"


async def metrics_of(api: object) -> str:
    status, body, headers = await api.get("/metrics")  # type: ignore[attr-defined]
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    text: str = body.decode()
    return text


async def test_metrics_count_imports_tries_and_what_was_saved_aside(tmp_path: Path) -> None:
    async with Sandbox(port=0) as sandbox:
        settings = {**sandbox.settings(), "BOOKLINE_LIBRARY": "off"}
        sandbox.faults.add(isbn=ISBN, route="google_books", kind="503", times=1)
        text = ""
        async with server(settings, tmp_path / "data") as api:
            for isbn in (ISBN, "9780000000019"):
                started = await api.begin(isbn, source="google_books")
                await api.until(started["jobId"])

            async with asyncio.timeout(PATIENCE_SECONDS):  # they are counted behind the end
                while not all(f'outcome="{one}"}} 1.0' in text for one in ("done", "no_such_book")):
                    text = await metrics_of(api)

    assert 'bookline_imports_total{method="workflow",outcome="done"} 1.0' in text
    assert 'bookline_imports_total{method="workflow",outcome="no_such_book"} 1.0' in text
    assert 'bookline_tries_total{result="retry",step="fetch-metadata"} 1.0' in text
    assert "bookline_fallback_saves_total 1.0" in text
    assert "bookline_watchers 0.0" in text
    assert "bookline_event_lag_seconds_count 0.0" not in text
    assert "bookline_queued_imports 0.0" in text
    timed = 'duration_seconds_count{method="POST",route="/v2/import/workflow"}'
    assert f"bookline_http_request_{timed} 2.0" in text
    assert re.search(r'^bookline_build_info{version="[0-9.]+"} 1\.0$', text, re.MULTILINE)
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text
    assert ISBN not in text


def test_dashboard_and_alerts_ask_for_metrics_that_exist() -> None:
    measures = Measures()
    for outcome in OUTCOMES:
        measures.import_ended("workflow", outcome, 1)
    measures.try_ended("fetch-metadata", "value", 1)
    measures.answered("GET", 200)
    measures.circuit("openlibrary", "closed")
    measures.posted("taken")
    known = set(re.findall(r"^(bookline_\w+?)[{ ]", measures.exposition().decode(), re.MULTILINE))

    for file in ("dashboard.json", "alerts.yml"):
        text = (ROOT / "docs" / "monitoring" / file).read_text()
        asked = set(re.findall(r"\bbookline_\w+", text))
        assert asked
        assert asked <= known


def test_every_metric_is_in_the_handbook() -> None:
    handbook = (ROOT / "docs" / "operating.md").read_text("utf-8")
    told = re.findall(r"^# HELP (bookline_\w+)", Measures().exposition().decode(), re.MULTILINE)

    assert len(told) > 10
    for name in told:
        assert f"`{name}`" in handbook


async def test_traces_go_to_the_configured_collector(tmp_path: Path) -> None:
    received: list[bytes] = []

    async def collect(request: web.Request) -> web.Response:
        received.append(await request.read())
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    collector = web.AppRunner(app)
    await collector.setup()
    site = web.TCPSite(collector, "127.0.0.1", 0)
    await site.start()
    address = collector.addresses[0]
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{address[1]}"}
    try:
        async with (
            Sandbox(port=0) as sandbox,
            server({**sandbox.settings(), **traced}, tmp_path / "data") as api,
        ):
            started = await api.begin(ISBN)
            await api.until(started["jobId"])
    finally:
        await collector.cleanup()

    spans = b"".join(received)
    for name in (b"import", b"fetch-metadata", b"upload-cover", b"save-to-database"):
        assert name in spans
    assert started["jobId"].encode() in spans


def test_a_log_line_names_its_request_and_its_job() -> None:
    record = logging.LogRecord("x", logging.WARNING, __file__, 1, "it %s", ("broke",), None)
    request, job = logs.request_id.set("req-1"), logs.job_id.set("import-1")
    try:
        line = json.loads(logs.JsonLines().format(record))
        text = logs.TextLines().format(record)
    finally:
        logs.request_id.reset(request)
        logs.job_id.reset(job)

    assert (line["message"], line["request"], line["job"]) == ("it broke", "req-1", "import-1")
    assert text.endswith("it broke [request req-1 job import-1]")


async def test_each_end_retry_and_refused_start_is_one_line_and_every_line_is_json(
    tmp_path: Path,
) -> None:
    async with Sandbox(port=0) as sandbox:
        sandbox.faults.add(isbn=ISBN, route="google_books", kind="503", times=1)
        settings = {**sandbox.settings(), "BOOKLINE_LOG_FORMAT": "json"}
        async with server(settings, tmp_path / "data") as api:
            good = await api.begin(ISBN, source="google_books")
            await api.until(good["jobId"])
            unknown = await api.begin("9780000000019", source="google_books")
            await api.until(unknown["jobId"])
            await api.post("/v2/import/workflow", {"isbn": "123"})
            await api.stop()  # what is to be said of an end is said behind it
            lines = [json.loads(line) for line in api.log.splitlines()]

    told = {(line["message"], line.get("jobId")): line for line in lines}
    done = told["import completed", good["jobId"]]
    failed = told["import failed", unknown["jobId"]]
    again = told["a try failed and is repeated", good["jobId"]]
    assert done["code"] is None
    assert done["durationMs"] >= 0
    assert (failed["code"], failed["step"]) == ("BOOK_NOT_FOUND", "fetch-metadata")
    assert (again["step"], again["attempt"]) == ("fetch-metadata", 1)
    assert again["delayMs"] > 0
    assert told["a start was refused", None]["code"] == "INVALID_ISBN"
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", line["at"]) for line in lines)
    assert sum(line["message"] == "import completed" for line in lines) == 1


@pytest.mark.slow
async def test_a_short_soak_loses_and_doubles_nothing() -> None:
    """The whole soak takes ten minutes: ``python benchmarks/soak.py``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--seconds", "40",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()
    assert b"nothing lost, nothing doubled" in said
