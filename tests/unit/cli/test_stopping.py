"""Ctrl-C: a command ends in good order, and breaks into nothing that is under way."""

import subprocess
import sys

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
from bookline.cli.asked import Asked, ask_line, perform
signal.signal(signal.SIGINT, signal.default_int_handler)

async def work():
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        ask_line()
    finally:
        print("ended in good order", flush=True)
    return 0

try:
    perform(Asked(), work)
except typer.Exit as end:
    sys.exit(end.exit_code)
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


def test_a_question_is_left_by_one_ctrl_c() -> None:
    done = run(ASKS)

    assert (done.returncode, done.stdout) == (130, "ended in good order\n")
    assert done.stderr == "interrupted\n"
