"""What processes tell one another, while the server takes no connection for it."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from bookline.stores.postgres_news import WAITING_MOST, Messenger

PIPE_BYTES = 65_536  # pipe(7): what Linux keeps of what nobody reads
PATIENCE_SECONDS = 20.0


class NoLine:
    """A server with no connection left for us, though others hold theirs."""

    def open(self) -> psycopg.Connection[dict[str, object]]:
        raise psycopg.OperationalError("too many connections for role")


@pytest.fixture
def messenger() -> Iterator[Messenger]:
    made = Messenger(NoLine(), "news")  # type: ignore[arg-type]
    yield made
    if made._lock.acquire(timeout=1):  # else it hangs, which the test says
        made._lock.release()
        made.close()


def test_whoever_tells_never_waits_and_what_waits_is_bounded(messenger: Messenger) -> None:
    """It is the event loop that tells: every import of the process would stand still."""

    def tell() -> None:
        for number in range(WAITING_MOST + PIPE_BYTES):
            messenger.announce([f"job {number}"])

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    teller.join(PATIENCE_SECONDS)

    assert not teller.is_alive()
    assert len(messenger._waiting) <= WAITING_MOST
