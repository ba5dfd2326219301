"""Each fault is had once, none beside those that it must not meet, and each is healed."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.faults.chaos import Chaos, Fault
from tests.waiting import eventually

AT_ONCE = (0.0, 0.0)
FOR_EVER = (1e9, 1e9)


def chaos_of(*faults: Fault) -> tuple[Chaos, list[str]]:
    noted: list[str] = []
    return Chaos(list(faults), random.Random(1), noted.append, gap=AT_ONCE), noted


def all_had(chaos: Chaos) -> Callable[[], bool]:
    def step() -> bool:
        chaos.step()
        return chaos.all_had

    return step


def test_one_that_cannot_be_now_is_had_later() -> None:
    answers = [None, None, "it is there"]
    chaos, noted = chaos_of(Fault("late", lambda: answers.pop(0)))
    assert eventually(all_had(chaos))
    assert (chaos.counts, noted) == ({"late": 1}, ["late (it is there)"])


def test_those_that_must_not_meet_do_not() -> None:
    healed: list[str] = []
    one = Fault("one", lambda: "", lambda: healed.append("one"), FOR_EVER)
    other = Fault("other", lambda: "", lasts=FOR_EVER, not_with=("one",))
    chaos, _ = chaos_of(one, other)
    for _ in range(3):
        chaos.step()
    assert len(chaos.active) == 1
    chaos.heal_all()
    assert chaos.active == []


def test_what_needs_another_to_be_over_is_healed_after_it_and_looked_at_before() -> None:
    done: list[str] = []
    database = Fault("database", lambda: "", lambda: done.append("database"), FOR_EVER)
    server = Fault("server", lambda: "", lambda: done.append("server"), FOR_EVER, after=("database",))
    chaos, _ = chaos_of(database, server)
    chaos.look = lambda name: done.append(f"look at {name}")
    assert eventually(all_had(chaos))
    chaos.heal_all()
    assert done == ["look at database", "database", "look at server", "server"]
