"""What time it is by a server's clock; and what is old is old by two clocks."""

from bookline.clocks import SharedClock, Steady

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


class Server:
    """A clock that is asked over a network: half of ``trip_ms`` there, half of it back."""

    def __init__(self, time: Time, ahead_ms: int) -> None:
        self.time = time
        self.ahead_ms = ahead_ms
        self.clock = SharedClock(lambda: time.wall_ms, lambda: time.passed_ms / 1000)

    @property
    def now_ms(self) -> int:
        return 100 * DAY_MS + self.time.passed_ms + self.ahead_ms

    def say(self, there_ms: int, back_ms: int) -> None:
        asked_at = self.clock.passed()
        self.time.pass_ms(there_ms)
        said_ms = self.now_ms
        self.time.pass_ms(back_ms)
        self.clock.hear(said_ms, asked_at)


def test_until_a_server_is_heard_this_machines_clock_holds() -> None:
    server = Server(Time(), ahead_ms=600_000)

    assert server.clock() == server.time.wall_ms


def test_then_it_is_the_servers_wherever_this_machines_clock_is_set() -> None:
    server = Server(Time(), ahead_ms=600_000)

    server.say(1, 1)
    server.time.wall_ms -= DAY_MS
    server.time.pass_ms(5_000)

    assert server.clock() == server.now_ms


def test_it_is_off_by_half_of_the_fastest_round_trip_at_most() -> None:
    server = Server(Time(), ahead_ms=-600_000)

    server.say(900, 100)
    assert abs(server.clock() - server.now_ms) == 400
    server.say(4, 6)
    assert abs(server.clock() - server.now_ms) <= 5
    server.say(10, 3_000)  # a slow answer tells nothing new

    assert abs(server.clock() - server.now_ms) <= 5


def test_a_server_whose_clock_is_set_is_followed() -> None:
    server = Server(Time(), ahead_ms=0)
    server.say(2, 2)

    for ahead_ms in (3_600_000, -3_600_000):
        server.ahead_ms = ahead_ms
        server.say(2, 2)

        assert abs(server.clock() - server.now_ms) <= 2
