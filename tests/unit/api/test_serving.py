"""The server's process, once it is up."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import uvicorn

from bookline.api.serving import BooklineServer


@pytest.fixture
def collector() -> Iterator[None]:
    """As the command leaves it to the server: off."""
    threshold = gc.get_threshold()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("collector")
async def test_garbage_is_collected_from_when_the_server_is_up(
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
