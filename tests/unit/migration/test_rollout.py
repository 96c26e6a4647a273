"""Who goes which way: sticky, only forward, and safe when it cannot be read."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookline.errors import Refused
from bookline.migration.rollout import Change, Incident, Rollout, check, place_of

ISBN = "9780142437247"
USERS = [f"user-{number}" for number in range(400)]
percents = st.integers(0, 100)
texts = st.text(min_size=1, max_size=200)


def on_workflow(rollout: Rollout) -> set[str]:
    return {user for user in USERS if rollout.method_for(user, ISBN) == "workflow"}


def test_half_of_the_users_are_about_half() -> None:
    assert 170 <= len(on_workflow(Rollout(percent=50))) <= 230


@pytest.mark.parametrize("salt", ["a", "b", "2026", "book-import"])
@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_share_is_about_as_large_as_its_percent(percent: int, salt: str) -> None:
    rollout = Rollout(percent=percent, salt=salt)
    share = sum(rollout.method_for(f"u{n}", ISBN) == "workflow" for n in range(10_000)) / 100

    assert abs(share - percent) < 2


def test_nobody_moves_back_when_the_percent_rises() -> None:
    before = set[str]()
    for percent in range(101):
        now = on_workflow(Rollout(percent=percent))
        assert before <= now
        before = now
    assert before == set(USERS)


@given(salt=texts, user=texts, percent=percents, isbn=st.sampled_from([ISBN, "9780451524935"]))
def test_a_user_goes_the_same_way_for_every_book(
    salt: str, user: str, percent: int, isbn: str
) -> None:
    rollout = Rollout(percent=percent, salt=salt)

    assert rollout.method_for(user, isbn) == rollout.method_for(user, ISBN)


def test_without_a_user_the_book_decides() -> None:
    rollout = Rollout(percent=50)
    isbns = [f"97800000{number:05}" for number in range(400)]
    ways = {isbn: rollout.method_for(None, isbn) for isbn in isbns}

    assert 170 <= list(ways.values()).count("workflow") <= 230
    assert ways == {isbn: rollout.method_for(None, isbn) for isbn in isbns}


def test_another_salt_deals_everybody_anew() -> None:
    assert on_workflow(Rollout(percent=50, salt="a")) != on_workflow(Rollout(percent=50, salt="b"))


def test_a_place_is_a_stored_fact() -> None:
    """Another hash would move people who are under way: this number must never change."""
    assert place_of("book-import", "user:ada") == pytest.approx(66.51540683)


def test_no_percent_sends_nobody_and_the_whole_everybody() -> None:
    assert on_workflow(Rollout(percent=0)) == set()
    assert on_workflow(Rollout(percent=100)) == set(USERS)


def test_a_tester_goes_where_he_is_sent() -> None:
    rollout = Rollout(percent=0, users={"ada": "workflow"})

    assert rollout.method_for("ada", ISBN) == "workflow"
    assert rollout.method_for("bob", ISBN) == "legacy"


def test_the_kill_switch_beats_everything() -> None:
    rollout = Rollout(percent=100, kill_switch=True, users={"ada": "workflow"})

    assert {rollout.method_for(user, ISBN) for user in ["ada", "bob", None]} == {"legacy"}


@pytest.mark.parametrize(
    ("percent", "stage", "following"),
    [(0, 0, 10), (9, 0, 10), (10, 10, 50), (49, 10, 50), (50, 50, 100), (99, 50, 100),
     (100, 100, None)],
)  # fmt: skip
def test_a_percent_lies_in_a_stage(percent: int, stage: int, following: int | None) -> None:
    rollout = Rollout(percent=percent)

    assert (rollout.stage, rollout.next_stage) == (stage, following)


rollouts = st.builds(
    Rollout,
    percent=percents,
    salt=texts,
    kill_switch=st.booleans(),
    automatic=st.booleans(),
    users=st.dictionaries(texts, st.sampled_from(["workflow", "legacy"]), max_size=5),
    incidents=st.lists(
        st.builds(Incident, number=st.integers(1), at_ms=st.integers(0), actor=texts, text=texts),
        max_size=3,
    ).map(tuple),
    since_ms=st.integers(0, 2**50),
)


@given(rollouts)
def test_what_is_stored_comes_back(rollout: Rollout) -> None:
    assert Rollout.from_json(rollout.to_json()) == rollout


@pytest.mark.parametrize(
    ("name", "value"),
    [("percent", "10"), ("percent", "10abc"), ("percent", 101), ("percent", -1), ("percent", True),
     ("percent", 10.5), ("percent", None), ("salt", ""), ("salt", 7), ("killSwitch", "on"),
     ("automatic", 1), ("users", {"ada": "maybe"}), ("users", 3), ("incidents", [{}]),
     ("incidents", None), ("since", "long ago"), ("since", None)],
)  # fmt: skip
def test_a_stored_state_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Refused):
        Rollout.from_json({**Rollout(percent=50).to_json(), name: value})


# ------------------------------------------------------------------ changes
def test_a_change_leaves_the_rest_as_it_was() -> None:
    before = Rollout(percent=10, salt="s", automatic=True, users={"ada": "workflow"})

    after = Change(percent=50).applied(before, 7, "eve")

    assert after == replace(before, percent=50, since_ms=7)


@pytest.mark.parametrize(
    "change", [Change(percent=10), Change(automatic=True), Change(users={"ada": "legacy"})]
)
def test_a_sample_goes_on_when_nobody_else_is_sent_another_way(change: Change) -> None:
    assert change.applied(Rollout(percent=10, since_ms=3), 7, "eve").since_ms == 3


@pytest.mark.parametrize("change", [Change(percent=50), Change(salt="n"), Change(kill_switch=True)])
def test_a_new_share_begins_a_new_sample(change: Change) -> None:
    assert change.applied(Rollout(percent=10, since_ms=3), 7, "eve").since_ms == 7


def test_testers_are_added_and_taken_off_one_by_one() -> None:
    before = Rollout(percent=0, users={"ada": "workflow", "bob": "legacy"})

    after = Change(users={"ada": None, "eve": "workflow"}).applied(before, 7, "x")

    assert after.users == {"bob": "legacy", "eve": "workflow"}


def test_an_incident_is_open_until_it_is_resolved() -> None:
    opened = Change(incident=" covers are gone ").applied(Rollout(percent=50), 7, "eve")
    again = Change(incident="again").applied(opened, 8, "eve")

    assert opened.incidents == (Incident(number=1, at_ms=7, actor="eve", text="covers are gone"),)
    assert [one.number for one in Change(resolve=1).applied(again, 9, "eve").incidents] == [2]


def test_an_incident_that_is_told_twice_is_one() -> None:
    """A browser or a proxy may send a PUT again."""
    once = Change(incident="covers are gone").applied(Rollout(percent=50), 7, "eve")

    assert Change(incident="covers are gone ").applied(once, 8, "eve") == once


def test_an_incident_that_is_not_open_cannot_be_resolved() -> None:
    with pytest.raises(Refused) as refused:
        Change(resolve=1).applied(Rollout(percent=50), 7, "eve")

    assert refused.value.code == "NOT_FOUND"


@pytest.mark.parametrize(
    "change",
    [Change(percent=101), Change(salt="s" * 201), Change(incident="  "),
     Change(users={"u": "both"}), Change(users={str(n): "legacy" for n in range(1_001)})],
)  # fmt: skip
def test_a_change_that_makes_no_sense_is_refused(change: Change) -> None:
    with pytest.raises(Refused) as refused:
        change.applied(Rollout(percent=50), 7, "eve")

    assert refused.value.code == "INVALID_REQUEST"


@given(rollouts)
def test_what_is_built_here_passes_its_own_check(rollout: Rollout) -> None:
    check(rollout)
