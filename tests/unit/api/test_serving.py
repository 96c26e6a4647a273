"""The server's process, once it is up."""

import asyncio
import gc
import socket
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import uvicorn

from bookline.api.serving import COLLECT_AT, THREAD_TURN_SECONDS, BooklineServer


@pytest.fixture
def collector() -> Iterator[None]:
    """As the command leaves it to the server: off."""
    threshold, turn = gc.get_threshold(), sys.getswitchinterval()
    gc.disable()
    yield
    sys.setswitchinterval(turn)
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("collector")
async def test_a_server_that_is_up_collects_garbage_and_lets_threads_take_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def start(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        self.started = True

    monkeypatch.setattr(uvicorn.Server, "startup", start)
    server = BooklineServer.__new__(BooklineServer)
    server.is_ready = asyncio.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.servers = [SimpleNamespace(sockets=[listener])]  # type: ignore[list-item]

        await server.startup()

    assert server.is_ready.is_set()
    assert gc.isenabled()
    assert gc.get_threshold() == COLLECT_AT
    assert sys.getswitchinterval() == pytest.approx(THREAD_TURN_SECONDS)


@pytest.mark.usefixtures("collector")
def test_no_collection_looks_through_all_that_many_new_watchers_are_made_of() -> None:
    looked_through: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            young = range(info["generation"] + 1)
            looked_through.append(sum(len(gc.get_objects(generation=one)) for one in young))

    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AT)
    gc.callbacks.append(note)
    try:
        gc.enable()
        watchers: list[list[object]] = [[] for _ in range(300_000)]
    finally:
        gc.disable()
        gc.callbacks.remove(note)

    assert len(watchers) == 300_000
    assert len(looked_through) >= 15
    assert max(looked_through) < 45_000
