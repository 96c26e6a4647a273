"""The Worker on this machine with the sandbox behind it, until Ctrl-C.

Way:     make worker-dev → here → bench/bench.mjs
"""

import asyncio
import contextlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tests"))

from worlds import sandbox, world

PORT = 8788


async def main() -> None:
    async with sandbox() as upstream, world(upstream, vars={"RETRY_SCALE": "1"}, port=PORT) as here:
        [isbn, *_] = await upstream.make(100)
        print(f"The Worker answers at {here.bench.url}; no key is needed here. Try:")
        print(f"  curl -X POST {here.bench.url}/v2/import/workflow \\")
        print(f"    -H 'Content-Type: application/json' -d '{{\"isbn\": \"{isbn}\"}}'")
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
