"""When a provider that does not answer is left alone, and when it is asked again: the rule alone.

Way:      net/pace.py and net/rests.py → here
Rule 1:   what one book's questions come to says nothing of the provider: only different questions,
          all without an answer and none with one in between, open its circuit.
Rule 2:   an answer closes it, whatever it says: not found, a wrong key and "slower" are answers.
Source:   M. Nygard, "Release It!": closed, open, half-open.
"""

FAILURES = 50  # our choice: 25 failing books still have their tries, each for itself
FIRST_PAUSE_SECONDS = 1.0  # our choice: as long as the first retry waits
LONGEST_PAUSE_SECONDS = 60.0  # our choice: how late we may notice that it is back
CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"
STATES = (CLOSED, OPEN, HALF_OPEN)


class Outages:
    """Different questions in a row that got no answer. One provider's, in one process."""

    def __init__(self) -> None:
        self._questions: set[int] = set()

    def failed(self, question: str) -> None:
        if len(self._questions) < FAILURES:
            self._questions.add(hash(question))

    def answered(self) -> None:
        self._questions.clear()

    @property
    def are_too_many(self) -> bool:
        return len(self._questions) >= FAILURES


def pause_after(last_seconds: float | None) -> float:
    """How long it is left alone when the circuit opens (None), and after each further failure."""
    if last_seconds is None:
        return FIRST_PAUSE_SECONDS
    return min(max(2 * last_seconds, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


def state_of(pause_left_seconds: float | None) -> str:
    """``None``: there is no pause, so all may ask. At 0 the next question is the probe."""
    if pause_left_seconds is None:
        return CLOSED
    return OPEN if pause_left_seconds > 0 else HALF_OPEN
