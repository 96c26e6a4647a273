"""The bench as a process: started, asked by HTTP, given orders by lines, ended by its id."""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

WORKER = Path(__file__).parents[1]
NODE = WORKER / "node_modules" / "node" / "bin" / "node"
READY_SECONDS = 240.0  # on a machine that is busy with other things; else some four


class Bench:
    """One bench. ``without`` names bindings it does not have; without ``tables`` D1 is empty."""

    def __init__(
        self,
        *,
        vars: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
        persist: Path | None = None,
        tables: bool = True,
        port: int = 0,
        entry: str = "entry",
        folders: Sequence[Path] = (),
    ) -> None:
        folders = [WORKER / "main", *folders]
        self._options: dict[str, Any] = {
            "port": port, "tables": tables, "entry": entry,
            "vars": dict(vars or {}), "without": list(without),
            "folders": [str(folder) for folder in folders],
        }  # fmt: skip
        if persist is not None:
            self._options["persist"] = str(persist)
        self.url = ""
        self.ready_seconds = 0.0

    async def __aenter__(self) -> Self:
        began = time.perf_counter()
        self._process = await asyncio.create_subprocess_exec(
            str(NODE), str(WORKER / "bench" / "bench.mjs"), json.dumps(self._options),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=WORKER,
            limit=2**24, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        async with asyncio.timeout(READY_SECONDS):
            self.url = (await self._line())["ready"]
        self.ready_seconds = time.perf_counter() - began
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._send({"stop": True})
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def order(self, name: str, value: object = True) -> Any:
        """What the bench answers to an order (bench.mjs, ORDERS)."""
        self._send({name: value})
        answer = await self._line()
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def _send(self, order: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    async def _line(self) -> Any:
        """The next line of ours; what the runtime says by itself goes to stderr."""
        assert self._process.stdout is not None
        while True:
            line = await self._process.stdout.readline()
            if not line:
                raise RuntimeError("the bench ended; its reason stands above")
            if line.startswith(b"{"):
                return json.loads(line)
            print(line.decode(), end="")
