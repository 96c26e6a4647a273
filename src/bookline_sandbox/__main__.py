"""`python -m bookline_sandbox --port 0`: serves, and says where in one line of JSON."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from typing import Any

import uvloop

from bookline_sandbox.faults import read_rule
from bookline_sandbox.server import Sandbox, serve


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m bookline_sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--require-keys", action="store_true")
    parser.add_argument(
        "--fault", action="append", default=[], type=_rule, help="a rule as JSON", metavar="RULE"
    )
    parser.add_argument("--make", type=int, default=0, help="made-up books", metavar="COUNT")
    asked = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
        uvloop.run(_serve(asked))


def _rule(text: str) -> Any:
    value = json.loads(text)
    read_rule(value)
    return value


async def _serve(asked: argparse.Namespace) -> None:
    def say(sandbox: Sandbox) -> None:
        if asked.make:
            sandbox.make(asked.make)
        json.dump({"url": sandbox.url, "settings": sandbox.settings()}, sys.stdout)
        sys.stdout.write("\n")
        sys.stdout.flush()

    task = asyncio.current_task()
    if task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await serve(
        asked.host,
        asked.port,
        asked.fault,
        asked.latency_ms,
        require_keys=asked.require_keys,
        ready=say,
    )


if __name__ == "__main__":
    main()
