"""When messages that Kafka refuses are tried again."""

from pathlib import Path

import pytest

from scifish.spool.database import Spool
from scifish.spool.refused_retries import RefusedRetries
from tests.builders.messages import message


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "a.spool", message()["origin"])


def test_a_round_follows_at_once_until_all_were_tried(spool: Spool) -> None:
    retries = RefusedRetries()
    retries.tried(spool, 20)
    retries.round_over()
    assert (retries.is_due, retries.all_tried, retries.after(spool)) == (True, False, 20)
    retries.from_the_first(spool)
    retries.round_over()
    assert (retries.is_due, retries.all_tried, retries.after(spool)) == (False, True, 0)


def test_after_a_restart_all_are_tried_again(spool: Spool) -> None:
    retries = RefusedRetries()
    retries.round_over()
    retries.restart()
    assert (retries.is_due, retries.all_tried) == (True, False)


def test_all_are_not_tried_while_some_are_in_flight_or_when_one_was_taken(spool: Spool) -> None:
    retries = RefusedRetries()
    retries.in_flight.add((spool, 3))
    retries.round_over()
    assert not retries.all_tried
    retries.confirmed([(spool, 4)])
    assert not retries.accepted
    retries.confirmed([(spool, 3)])
    retries.in_flight.clear()
    assert (retries.accepted, retries.all_tried) == (True, False)
