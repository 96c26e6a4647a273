"""What is old is old by two clocks."""

from bookline.clocks import Steady

DAY_MS = 86_400_000


class Time:
    """A wall clock that can be set, and the time that really passes."""

    def __init__(self) -> None:
        self.wall_ms = 100 * DAY_MS
        self.passed_ms = 0

    def pass_ms(self, ms: int) -> None:
        self.wall_ms += ms
        self.passed_ms += ms

    def steady(self, last_ms: int | None) -> Steady:
        return Steady(lambda: self.wall_ms, last_ms, lambda: self.passed_ms / 1000)


def test_a_clock_that_was_ahead_at_start_makes_nothing_old() -> None:
    time = Time()
    last_ms = time.wall_ms
    time.wall_ms += 40 * DAY_MS
    steady = time.steady(last_ms)

    time.pass_ms(5_000)

    assert steady() == last_ms + 5_000


def test_a_clock_that_jumps_ahead_later_makes_nothing_old() -> None:
    time = Time()
    steady = time.steady(time.wall_ms)
    began_ms = steady()

    time.wall_ms += 40 * DAY_MS

    assert steady() == began_ms


def test_a_clock_that_is_set_back_is_followed() -> None:
    time = Time()
    steady = time.steady(time.wall_ms)

    time.wall_ms -= DAY_MS

    assert steady() == time.wall_ms


def test_time_that_passes_makes_old() -> None:
    time = Time()
    steady = time.steady(time.wall_ms)

    time.pass_ms(31 * DAY_MS)

    assert steady() == time.wall_ms


def test_where_nothing_was_kept_the_start_counts() -> None:
    time = Time()

    assert time.steady(None)() == time.wall_ms
