"""The rollout by command: the real routes and service in memory, asked without a wire."""

import asyncio
import getpass
import importlib.util
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from bookline.api.rollout_routes import router as rollout_router
from bookline.api.server import _on_ours
from bookline.cli import draining, opening, plot, rollout_commands
from bookline.cli import rollout_words as words
from bookline.cli.main import app
from bookline.client import BooklineClient
from bookline.errors import BooklineError, GiveUp, Refused
from bookline.job import COMPLETED, FAILED, ImportInput, Job
from bookline.migration.rollouts import Rollouts
from bookline.progress.events import completed, ending
from bookline.progress.records import OUTCOMES, ImportRecord
from bookline.stores.opening import stores_in_memory
from bookline.values import Json
from kept_records import summary_of

NOW_MS = 1_700_000_000_000
ISBN = "9780142437247"
RESULT = {"isbn": ISBN, "saved": True, "storedIn": "database", "warnings": [], "source": "auto"}
COMMANDS = ("status", "set", "advance", "rollback", "drain", "history", "incident", "resolve")


class Bench:
    """A rollout, and jobs that end as they are told to."""

    def __init__(self, percent: int, *, has_legacy: bool) -> None:
        self.now_ms = NOW_MS
        self.jobs = 0
        stores = stores_in_memory(lambda: self.now_ms)
        self.journal = stores.journal
        self.rollouts = Rollouts(
            stores.rollout, self.journal, clock=lambda: self.now_ms, start_percent=percent,
            has_legacy=has_legacy, deadline_ms=900_000,
        )  # fmt: skip

    def open(self, method: str) -> str:
        self.jobs += 1
        order = ImportInput(job_id=f"job-{self.jobs}", isbn=ISBN, input_isbn=ISBN)
        job = Job(order=order, method=method, created_ms=self.now_ms, updated_ms=self.now_ms)
        asyncio.run(self.journal.open(job))
        return order.job_id

    def end(self, job_id: str, status: str = COMPLETED) -> None:
        news = completed(1, RESULT) if status == COMPLETED else ending(1, status, {})
        error = None if status == COMPLETED else {"code": "SAVE_FAILED", "step": None}
        result = RESULT if status == COMPLETED else None
        asyncio.run(self.journal.finish(job_id, news, run=1, result=result, error=error))

    def finish(self, method: str, count: int, status: str = COMPLETED) -> None:
        for number in range(count):
            job_id = self.open(method)
            self.now_ms += 100 + number
            self.end(job_id, status)


class WirelessClient(BooklineClient):
    """The client, whose requests go straight into the routes."""

    def __init__(self, rollouts: Rollouts) -> None:
        self._app = FastAPI()
        self._app.include_router(rollout_router)
        self._app.add_exception_handler(BooklineError, _on_ours)
        self._app.state.bookline = SimpleNamespace(rollouts=rollouts)

    async def ask(self, method: str, path: str, **asked: Any) -> Json:
        state = {"caller": "somebody", "request_id": "one"}
        scope = {
            "type": "http", "method": method, "path": path, "root_path": "", "state": state,
            "headers": [(b"content-type", b"application/json")],
            "query_string": urlencode(asked.get("query") or {}).encode(),
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": json.dumps(asked.get("body")).encode()}

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        said = json.loads(sent[1]["body"])
        if not said["success"]:
            error = said["error"]
            raise Refused(error["code"], error["message"], error.get("details"))
        data: Json = said["data"]
        return data


@pytest.fixture
def make_bench(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """A rollout that the commands talk to."""

    def make(percent: int = 0, *, has_legacy: bool = True) -> Bench:
        bench = Bench(percent, has_legacy=has_legacy)

        @asynccontextmanager
        async def open_client(*_: Any, **__: Any) -> AsyncIterator[tuple[BooklineClient, None]]:
            yield WirelessClient(bench.rollouts), None

        monkeypatch.setattr(opening, "open_client", open_client)
        return bench

    return make


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments])


def told(*arguments: str) -> Any:
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


# ------------------------------------------------------------------ usage
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    shown = run("rollout", command, "--help")

    assert shown.exit_code == 0
    assert "Usage:" in shown.output


def test_rollout_alone_shows_its_commands() -> None:
    shown = run("rollout")

    assert shown.exit_code == 0
    assert set(re.findall(r"^  (\w+)  ", shown.output, re.MULTILINE)) >= set(COMMANDS)


@pytest.mark.parametrize(
    "line",
    [
        ["rollout", "set"],
        ["rollout", "set", "--reason", "nothing"],
        ["rollout", "set", "--percent", "101"],
        ["rollout", "set", "--percent", "ten"],
        ["rollout", "set", "--salt", ""],
        ["rollout", "set", "--workflow", "ada", "--legacy", "ada"],
        ["rollout", "set", "--workflow", "ada", "--forget", "ada"],
        ["rollout", "advance", "--reason", "x" * 501],
        ["rollout", "incident", " "],
        ["rollout", "resolve", "first"],
        ["rollout", "drain", "--timeout", "-1"],
        ["rollout", "nonsense"],
        ["metrics", "--window", "24"],
        ["metrics", "--window", "8d"],
        ["metrics", "--plot", "moving.pdf"],
    ],
)
def test_bad_usage_is_2_and_changes_nothing(bench: Bench, line: list[str]) -> None:
    assert run(*line).exit_code == 2
    assert told("rollout", "history") == {"items": []}


# ------------------------------------------------------------------ changing
def test_a_change_keeps_who_and_why(bench: Bench) -> None:
    after = told("rollout", "set", "--percent", "10", "--automatic", "--reason", "first stage")

    assert (after["percent"], after["automatic"]) == (10, True)
    assert (after["updatedBy"], after["reason"]) == (getpass.getuser(), "first stage")


def test_a_user_without_a_name_is_still_an_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no such uid")

    monkeypatch.setattr(getpass, "getuser", nobody)

    assert rollout_commands.actor().startswith("uid ")


def test_testers_are_sent_by_name_and_forgotten(bench: Bench) -> None:
    line = ["--workflow", "ada", "--workflow", "bob", "--legacy", "eve"]
    assert told("rollout", "set", *line)["users"] == {
        "ada": "workflow", "bob": "workflow", "eve": "legacy",
    }  # fmt: skip

    after = told("rollout", "set", "--forget", "bob")

    assert after["users"] == {"ada": "workflow", "eve": "legacy"}
    assert "testers      ada → workflow, eve → legacy" in run("rollout", "status").stdout


def test_the_kill_switch_is_switched_both_ways(bench: Bench) -> None:
    assert "kill switch is on" in run("rollout", "set", "--kill-switch").stdout
    assert told("rollout", "set", "--no-kill-switch")["killSwitch"] is False


def test_an_advance_goes_to_the_first_stage(bench: Bench) -> None:
    done = run("rollout", "advance", "--reason", "go")

    assert (done.exit_code, done.stdout) == (0, "10 % by the workflow\n")


def test_a_refused_advance_tells_each_closed_gate_and_by_how_much(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(10)
    bench.finish("workflow", 30)
    bench.finish("workflow", 15, FAILED)
    bench.finish("legacy", 120)

    done = run("rollout", "advance")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("bookline: no advance to 50 %:\n")
    assert "  sample    not yet, 55 missing: still missing: 55 of workflow\n" in done.stderr
    assert re.search(r"  success   broken, [\d.]+ points too low: the workflow", done.stderr)
    assert "incidents" not in done.stderr


def test_a_refused_advance_is_json_for_programs(make_bench: Callable[..., Bench]) -> None:
    make_bench(10)

    done = run("--json", "rollout", "advance")

    assert done.exit_code == 1
    error = json.loads(done.stderr)["error"]
    assert error["code"] == "INVALID_STATE"
    assert error["details"]["gates"][0]["gate"] == "sample"


def test_a_rollback_is_told_and_a_second_one_refused(make_bench: Callable[..., Bench]) -> None:
    make_bench(50)

    assert run("rollout", "rollback", "--reason", "phones ring").stdout == "0 % by the workflow\n"
    assert run("rollout", "rollback").exit_code == 1


def test_an_incident_keeps_the_rollout_until_it_is_resolved(bench: Bench) -> None:
    assert run("rollout", "incident", "covers", "are", "grey").stdout == "incident 1 is open\n"
    assert run("rollout", "advance").exit_code == 1
    assert "1: covers are grey" in run("rollout", "status").stdout

    assert run("rollout", "resolve", "7").exit_code == 3
    assert run("rollout", "resolve", "1").stdout == "incident 1 is resolved\n"
    assert run("rollout", "advance").exit_code == 0


def test_history_is_newest_first(bench: Bench) -> None:
    run("rollout", "advance", "--reason", "first")
    run("rollout", "set", "--kill-switch", "--reason", "second")

    lines = run("rollout", "history").stdout.splitlines()

    assert [line.split("\t")[0] for line in lines] == ["2", "1"]
    assert lines[0].endswith("10 %\tkill switch\t\tsecond")


# ------------------------------------------------------------------ looking
def test_status_shows_each_gate_with_its_numbers(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(10)
    bench.finish("workflow", 100)
    bench.finish("legacy", 100)
    bench.open("legacy")

    shown = run("rollout", "status").stdout

    assert "rollout      10 % by the workflow" in shown
    assert "open jobs    0 workflow, 1 legacy" in shown
    assert "next         `bookline rollout advance`, to 50 %" in shown
    assert "sample\tpassed\t\t100\t100\t" in shown
    assert "p95\tpassed\t\t× " in shown
    assert "incidents\tpassed\t\t0\t0\tnone open" in shown


def test_at_0_percent_only_incidents_are_a_gate(bench: Bench) -> None:
    shown = run("rollout", "status").stdout

    assert "sample" not in shown
    assert "incidents\tpassed" in shown


def test_without_a_legacy_importer_there_is_nothing_to_judge(
    make_bench: Callable[..., Bench],
) -> None:
    make_bench(100, has_legacy=False)

    shown = run("rollout", "status").stdout

    assert "there is no legacy importer" in shown
    assert "sample" not in shown
    assert run("rollout", "set", "--percent", "50").exit_code == 1


@pytest.mark.parametrize(
    ("change", "words_of"),
    [
        ({"killSwitch": True}, "--no-kill-switch"),
        ({"incidents": [{"number": 4}]}, "resolve 4"),
        ({"nextStage": None}, "drain"),
        ({"automatic": True, "percent": 10, "nextStage": 50}, "to 50 % by itself"),
        ({"percent": 10, "gates": [{"gate": "sample", "passed": False}]}, "waits for its gates"),
    ],
)
def test_status_says_what_comes_next(bench: Bench, change: dict[str, Any], words_of: str) -> None:
    assert words_of in words.next_step({**told("rollout", "status"), **change})


@pytest.mark.parametrize(
    ("gate", "value", "limit", "by"),
    [
        ("sample", 40, 100, "60 missing"),
        ("success", -0.05, -0.03, "2.0 points too low"),
        ("success", -0.01, -0.03, "surely lower"),
        ("p95", 1.35, 1.1, "0.25 too slow"),
        ("lost", 2, 0, "2 too many"),
        ("incidents", 1, 0, "1 open"),
        ("success", None, -0.03, ""),
    ],
)
def test_a_closed_gate_says_by_how_much(
    gate: str, value: float | None, limit: float, by: str
) -> None:
    closed = {"gate": gate, "value": value, "limit": limit, "passed": False, "broken": True}

    assert words.gate_gap(closed) == by


# ------------------------------------------------------------------ the drain
def test_a_drained_rollout_at_100_says_what_can_go(make_bench: Callable[..., Bench]) -> None:
    make_bench(100)

    done = run("rollout", "drain")

    assert done.exit_code == 0
    assert done.stdout == "100 % and drained: src/bookline/migration/legacy can go\n"
    assert done.stderr == ""


def test_below_100_the_drain_says_that_more_will_come(make_bench: Callable[..., Bench]) -> None:
    make_bench(50)
    run("rollout", "set", "--kill-switch", "--legacy", "eve")

    done = run("rollout", "drain")

    assert done.exit_code == 0
    assert "drained for now" in done.stdout
    assert "it is at 50 %: `bookline rollout advance`" in done.stderr
    assert "the kill switch is on" in done.stderr
    assert "1 tester sent to legacy: `bookline rollout set --forget eve`" in done.stderr


def test_a_drain_that_takes_too_long_is_1(make_bench: Callable[..., Bench]) -> None:
    bench = make_bench(100)
    bench.open("legacy")

    done = run("rollout", "drain", "--timeout", "0")

    assert done.exit_code == 1
    assert done.stdout == ""
    assert "1 legacy job still open" in done.stderr
    assert json.loads(run("rollout", "drain", "--timeout", "0", "--json").stdout) == {
        "drained": False, "percent": 100, "hasLegacy": True, "open": {"workflow": 0, "legacy": 1},
        "stillComing": [], "next": None,
    }  # fmt: skip


def test_a_drain_without_importer_does_not_wait_for_what_nothing_runs(
    make_bench: Callable[..., Bench],
) -> None:
    bench = make_bench(100, has_legacy=False)
    assert run("rollout", "drain").stdout.startswith("there is no legacy importer")
    bench.open("legacy")

    done = run("rollout", "drain")

    assert done.exit_code == 1
    assert "nothing runs them any more" in done.stderr


async def test_a_drain_looks_until_none_is_open_and_tells_each_change(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = iter([3, 3, 1, 0])

    async def look() -> dict[str, Any]:
        return {
            "open": {"workflow": 9, "legacy": next(counts)}, "hasLegacy": True, "percent": 100,
            "killSwitch": False, "users": {},
        }  # fmt: skip

    after = await draining.drained(look, 60, 0)

    assert after["open"]["legacy"] == 0
    assert capsys.readouterr().err == "3 legacy jobs open\n1 legacy job open\n"


# ------------------------------------------------------------------ numbers
def test_metrics_stand_side_by_side(bench: Bench) -> None:
    bench.finish("workflow", 9)
    bench.finish("workflow", 1, FAILED)
    bench.finish("legacy", 4)

    rows = [line.split("\t") for line in run("metrics", "--window", "1h").stdout.splitlines()]

    cells = {row[0].strip(): row[1:] for row in rows}
    assert cells["imports"] == ["10", "4", ""]
    assert cells["success rate"] == ["90.0%", "100.0%", "-10.0 points"]
    assert cells["failed by us"] == ["1 (10.0%)", "0", ""]
    assert cells["P50"][0].endswith(" ms")
    assert cells["P95"][2].startswith("× ")


def test_a_window_in_which_nothing_ended_says_so(bench: Bench) -> None:
    done = run("metrics")

    assert (done.exit_code, done.stdout) == (0, "")
    assert "no import ended in the last 24h" in done.stderr
    assert told("metrics")["methods"]["legacy"]["count"] == 0


def test_every_outcome_has_its_words_and_its_fill() -> None:
    assert list(words.OUTCOMES) == list(plot.FILLS) == list(OUTCOMES)


# ------------------------------------------------------------------ the plot
def records(method: str, outcome: str, *durations_ms: int) -> list[ImportRecord]:
    return [
        ImportRecord(
            record_id=f"{method}{outcome}{place}", method=method, outcome=outcome, code=None,
            provider="openlibrary", duration_ms=duration_ms, stages={}, tries=4, finished_ms=1,
        )
        for place, duration_ms in enumerate(durations_ms)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kept",
    [
        [],
        records("workflow", "done", 120),
        records("legacy", "cancelled", 5),
        records("legacy", "ours", 5) + records("workflow", "done", 0, 0),
        records("workflow", "done", *range(100, 160)) + records("legacy", "done", 90, 95_000),
    ],
    ids=["nothing", "one", "cancelled", "failed", "both"],
)
@pytest.mark.parametrize("name", ["moving.svg", "moving.PNG"])
def test_whatever_was_kept_can_be_drawn(
    tmp_path: Path, kept: list[ImportRecord], name: str
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / name

    plot.write_plot(summary_of(kept, "24h"), path)

    head = path.read_bytes()[:60]
    assert head.startswith(b"\x89PNG") if name.endswith("PNG") else b"<?xml" in head


def test_the_plot_names_both_methods_with_their_numbers() -> None:
    pytest.importorskip("matplotlib")
    kept = records("workflow", "done", *range(10, 20)) + records("legacy", "done", 5, 6)
    kept += records("legacy", "ours", 1, 2)

    figure = plot.draw(summary_of(kept, "7d"))

    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    labels = [
        text.get_text()
        for axes in figure.axes
        for legend in [axes.get_legend()]
        if legend
        for text in legend.get_texts()
    ]
    assert "workflow: success 100.0% (n = 10)" in said
    assert "legacy: success 50.0% (n = 4)" in said
    assert "workflow (n = 10)\nP50 14 ms · P95 19 ms · P99 19 ms" in labels
    assert "failed by us" in labels


def test_the_same_numbers_give_the_same_svg(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    metrics = summary_of(records("workflow", "done", 10, 20), "1h")

    for name in ("a.svg", "b.svg"):
        plot.write_plot(metrics, tmp_path / name)

    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_without_matplotlib_it_says_what_to_install(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(GiveUp, match=r"pip install 'bookline\[plot\]'"):
        plot.check_plot(Path("moving.svg"))
    assert run("metrics", "--plot", "moving.svg").exit_code == 1


def test_a_plot_of_another_kind_is_refused() -> None:
    with pytest.raises(Refused, match=r"\.svg or a \.png"):
        plot.check_plot(Path("moving.jpg"))
