"""What is counted, timed and traced while imports run: the port, and the one that does nothing.

Way:     engine/ counts → here ← measures.py and traces.py, where app.py joins them
Rule 1:  standard library only: the Cloudflare Worker runs this file as it is.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol


class Meter(Protocol):
    """Counts of imports and their tries. Never fails."""

    def import_ended(self, method: str, outcome: str, seconds: float) -> None: ...

    def try_ended(self, step: str, result: str, seconds: float) -> None: ...

    def saved_aside(self) -> None: ...


class Span(Protocol):
    """A stretch of work as traces show it."""

    def set_attribute(self, key: str, value: str) -> Any: ...


OpenSpan = Callable[..., AbstractContextManager[Span]]
"""``open_span(name, **attributes)``: a span around a block."""


class Silent:
    """Fills ``Meter`` and ``Span`` where nobody looks."""

    def import_ended(self, method: str, outcome: str, seconds: float) -> None:
        pass

    def try_ended(self, step: str, result: str, seconds: float) -> None:
        pass

    def saved_aside(self) -> None:
        pass

    def set_attribute(self, key: str, value: str) -> None:
        pass


SILENT = Silent()


def no_span(name: str, **attributes: str | int) -> AbstractContextManager[Span]:
    """A span that nobody sees."""
    return nullcontext(SILENT)
