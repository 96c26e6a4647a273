"""Ctrl-C: a command ends in good order, and breaks into nothing that is under way."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

BUSY = """
import asyncio, os, signal, sys, typer
from bookline.cli.asked import Asked, perform
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it

async def others(times):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.02)
    while True:
        await asyncio.sleep(0)

async def work():
    task = asyncio.create_task(others(int(sys.argv[1])))
    try:
        await asyncio.sleep(60)
    finally:
        for _ in range(3):
            try:
                await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                pass
        print("ended in good order", flush=True)
    return 0

try:
    perform(Asked(), work)
except typer.Exit as end:
    sys.exit(end.exit_code)
"""
ASKS = """
import os, signal, sys, threading, typer
from bookline.cli.asked import Asked, perform
from bookline.cli.stdin import Lines, read_stdin
signal.signal(signal.SIGINT, signal.default_int_handler)

async def work():
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        await QUESTION
    finally:
        print("ended in good order", flush=True)
    return 0

try:
    perform(Asked(), work)
except typer.Exit as end:
    sys.exit(end.exit_code)
"""
READS = """
import asyncio, sys
from bookline.cli.stdin import Lines

async def beside():
    await asyncio.sleep(0.05)
    print("something else goes on", flush=True)

async def work():
    other, lines = asyncio.create_task(beside()), Lines()
    while line := await lines.ask():
        print(repr(line), flush=True)
    print(repr(await lines.ask()), flush=True)
    await other

asyncio.run(work())
"""


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        out, err = child.stdout.read(), child.stderr.read()
    return subprocess.CompletedProcess(command, child.returncode, out, err)


@pytest.mark.parametrize("times", ["1", "2"])
def test_a_second_ctrl_c_breaks_into_nothing(times: str) -> None:
    done = run(BUSY, times)

    assert (done.returncode, done.stdout) == (130, "ended in good order\n")
    assert done.stderr == "interrupted\n"


@pytest.mark.parametrize("question", ["Lines().ask()", "read_stdin(100)"])
def test_a_question_is_left_by_one_ctrl_c(question: str) -> None:
    done = run(ASKS.replace("QUESTION", question))

    assert (done.returncode, done.stdout) == (130, "ended in good order\n")
    assert done.stderr == "interrupted\n"


def test_what_else_runs_goes_on_while_a_question_waits() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", READS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        watchdog = threading.Timer(120, child.kill)
        watchdog.start()

        before = child.stdout.readline()
        child.stdin.write("an answer\n")
        child.stdin.close()
        after = child.stdout.read()
        watchdog.cancel()

    assert before == "something else goes on\n"
    assert after.splitlines() == [r"'an answer\n'", "''"]


@pytest.mark.parametrize("given", [b"", b"\n", b"one\n\ntwo\n", "änd\nno end".encode()])
def test_each_line_is_one_answer(given: bytes, tmp_path: Path) -> None:
    """Out of a pipe, which may hold several, as out of a file."""
    file = tmp_path / "answers"
    file.write_bytes(given)
    command = [sys.executable, "-c", READS]

    with file.open("rb") as opened:
        of_file = subprocess.run(command, stdin=opened, capture_output=True, check=True)
    of_pipe = subprocess.run(command, input=given, capture_output=True, check=True)

    expected = [repr(line) for line in [*given.decode().splitlines(keepends=True), ""]]
    for done in (of_file, of_pipe):
        told = done.stdout.decode().splitlines()
        assert [line for line in told if "goes on" not in line] == expected


def test_without_stdin_there_is_no_answer() -> None:
    script = f"import sys; sys.stdin = None{READS}"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    assert done.stdout.decode().splitlines() == ["''", "something else goes on"]
