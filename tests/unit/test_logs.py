"""The log stays readable in trouble."""

import logging

from bookline.logs import KINDS_MOST, SELDOM_SECONDS, NoRepeats, Seldom


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def record(text: str, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("bookline.x", level, "x.py", 1, text, args, None)


def test_trouble_that_goes_on_is_a_line_a_minute() -> None:
    clock = Clock()
    filtered = NoRepeats(Seldom(clock))
    shown = []

    for _ in range(150):  # one a second
        one = record("%s is down", "journal.db")
        if filtered.filter(one):
            shown.append(one.getMessage())
        clock.now += 1

    assert shown == [
        "journal.db is down",
        "journal.db is down (59 times more in the last minute)",
        "journal.db is down (59 times more in the last minute)",
    ]


def test_what_says_something_else_is_shown() -> None:
    filtered = NoRepeats(Seldom(Clock()))

    assert all(filtered.filter(record("job %s failed", number)) for number in range(50))
    assert filtered.filter(record("job 1 failed", level=logging.ERROR))


def test_news_are_never_left_out() -> None:
    filtered = NoRepeats(Seldom(Clock()))

    assert all(filtered.filter(record("import completed", level=logging.INFO)) for _ in range(9))


def test_what_was_long_ago_is_forgotten() -> None:
    clock = Clock()
    seldom = Seldom(clock)

    for number in range(3 * KINDS_MOST):
        assert seldom.turn(number) == 0
        clock.now += SELDOM_SECONDS / 10

    assert len(seldom._told) <= KINDS_MOST
