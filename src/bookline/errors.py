"""What can go wrong, as a tree named by what the caller should do.

    BooklineError
    ├── Refused            mend the request; nothing was started     (HTTP 4xx)
    ├── TryLater           the same call may succeed later
    │   ├── ProviderDown   time-outs have their own code
    │   │   ├── Unreachable    most likely it is we who are offline
    │   │   └── Resting        nobody asked: its circuit is open
    │   ├── SlowDown       knows how long to wait, when the provider said so
    │   └── StoreDown      one of our own stores
    └── GiveUp             trying again changes nothing
        ├── BookNotFound   an answer, not an outage
        ├── WrongKey       ours to mend: the provider does not take our key
        ├── MetadataIncomplete
        ├── CoverRefused   the address or the picture failed a check
        ├── EmbeddingRefused
        ├── Removed        the book was deleted while its import ran
        └── JobStopped     StepFailed | DeadlineExceeded | Cancelled

Rule 1:  every argument goes to ``super().__init__``, so that errors survive a pickle and an engine.
Rule 2:  the sentence is built in ``__str__``; codes are those of the API.
"""

from collections.abc import Sequence


class BooklineError(Exception):
    """The root: catch it to catch all of ours and nothing else."""

    code = "INTERNAL_ERROR"


class Refused(BooklineError):
    """The request cannot be taken as it is. ``code`` is the API's error code."""

    def __init__(self, code: str, message: str, details: dict[str, object] | None = None) -> None:
        super().__init__(code, message, details)
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message


class InvalidIsbn(Refused):
    """Text that is no ISBN. ``reason`` says which rule it breaks."""

    def __init__(self, text: str, reason: str) -> None:
        BooklineError.__init__(self, text, reason)
        self.text = text
        self.reason = reason
        self.code = "INVALID_ISBN"
        self.message = f"ISBN must be 10 or 13 digits: {reason}"
        self.details = {"isbn": text, "reason": reason}


class TryLater(BooklineError):
    """The same call may succeed later; ``retry_after_seconds`` is what the other side asked for."""

    code = "INTERNAL_ERROR"

    def __init__(
        self, message: str, code: str | None = None, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message, code, retry_after_seconds)
        self.message = message
        self.code = code or type(self).code
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return self.message


class ProviderDown(TryLater):
    """The provider could not be reached, or answered with something unreadable."""

    code = "PROVIDER_ERROR"


class Unreachable(ProviderDown):
    """There is no way to these hosts: most likely it is we who are offline."""

    def __init__(self, *hosts: str) -> None:
        *most, last = hosts
        named = f"{', '.join(most)} and {last}" if most else last
        super().__init__(f"Cannot reach {named}. Are you online?")
        self.args = hosts
        self.hosts = hosts


class SlowDown(TryLater):
    """The provider is rate limiting us (429)."""

    code = "PROVIDER_RATE_LIMITED"


class Resting(ProviderDown):
    """The provider was not asked, as it answers nobody: no try. Only who does not wait in line for
    it meets this (``time_limit.comes_again``).
    """


class StoreDown(TryLater):
    """One of our own stores did not take or give something."""

    code = "SAVE_FAILED"


def all_of(failures: Sequence[TryLater]) -> TryLater:
    """Several outages, at least one, as the one that ends first; its message names all of them."""
    first = min(failures, key=lambda failure: failure.retry_after_seconds or 0.0)
    hosts = [host for one in failures if isinstance(one, Unreachable) for host in one.hosts]
    offline = [Unreachable(*dict.fromkeys(hosts))] if hosts else []
    others = [failure for failure in failures if not isinstance(failure, Unreachable)]
    if not others:
        return offline[0]
    said = "; ".join(dict.fromkeys(failure.message for failure in (*others, *offline)))
    kind = ProviderDown if isinstance(first, Unreachable) else type(first)
    return kind(said, first.code, first.retry_after_seconds)


class GiveUp(BooklineError):
    """Trying again changes nothing."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message, code)
        self.message = message
        self.code = code or type(self).code

    def __str__(self) -> str:
        return self.message


class BookNotFound(GiveUp):
    """The provider knows no such book."""

    code = "BOOK_NOT_FOUND"


class WrongKey(GiveUp):
    """The provider refuses our key, our host or our country."""

    code = "PROVIDER_AUTH"


class ProviderRefused(GiveUp):
    """The provider refuses the question itself (another 4xx)."""

    code = "PROVIDER_ERROR"


class MetadataIncomplete(GiveUp):
    """The provider knows the book, but not its title."""

    code = "METADATA_INCOMPLETE"


class CoverRefused(GiveUp):
    """The cover's address or its picture failed a check; the message says which."""

    code = "COVER_REFUSED"


class EmbeddingRefused(GiveUp):
    """The embedder refuses, or its vector does not fit the model."""

    code = "EMBEDDING_REFUSED"


class Removed(GiveUp):
    """The book was deleted while its import ran: what it saves is not kept."""

    code = "CANCELLED"


class JobStopped(GiveUp):
    """A job goes no further: in which step, after how many tries of it, and why."""

    def __init__(self, step: str | None, attempts: int, code: str, message: str) -> None:
        BooklineError.__init__(self, step, attempts, code, message)
        self.step = step
        self.attempts = attempts
        self.code = code
        self.message = message


class StepFailed(JobStopped):
    """A step used up its tries, or one was enough to know. The workflow may go on without it."""

    def __str__(self) -> str:
        tries = "1 try" if self.attempts == 1 else f"{self.attempts} tries"
        return f"{self.step} failed after {tries}: {self.message}"


class DeadlineExceeded(JobStopped):
    """The whole job took longer than it may."""


class Cancelled(JobStopped):
    """Somebody cancelled the job."""
