"""The one decision that follows from a failed attempt."""

import dataclasses

import pytest

from ingest.scicat import DocumentConflict, NotAllowed, SciCatError, TimedOut
from ingest.scicow.errors import DatasetMissing, MessageRefused, NotYet
from ingest.scicow.pipeline.assigned_partition import AssignedPartition
from ingest.scicow.pipeline.backoff import Backoff
from ingest.scicow.pipeline.failure_policy import MIN_FAILING_DATASETS, DeadLetter, FailurePolicy, Pause, Retry
from ingest.scicow.pipeline.received_message import ReceivedMessage
from ingest.scicow.settings import load
from scifish.message import MessageError, encode
from tests.builders.messages import message
from tests.paths import DOCS
from tests.unit.ingest.scicow.pipeline.test_consumer import FakeMessage
from tests.unit.ingest.scicow.pipeline.test_dataset_queues import Clock

WAIT = 600.0
SETTINGS = dataclasses.replace(load(DOCS / "scicow.example.yaml", secrets=False), server_error_wait=WAIT)


class Policy:
    """A policy with its clock."""

    def __init__(self):
        self.clock = Clock()
        self.backoff = Backoff(self.clock)
        self.policy = FailurePolicy(self.backoff, SETTINGS)

    def failed(self, received, error):
        return self.policy.failed(received, error, self.clock.now)


@pytest.fixture
def policy():
    return Policy()


def received():
    return ReceivedMessage.of(FakeMessage(0, encode(message())), AssignedPartition("t", 0))


@pytest.mark.parametrize(
    ("error", "decision"),
    [
        (MessageRefused("x"), DeadLetter(defect=False)),
        (MessageError("x"), DeadLetter(defect=False)),
        (RecursionError("x"), DeadLetter(defect=False)),
        (SciCatError("x", 400), DeadLetter(defect=False)),
        (SciCatError("x", 422), DeadLetter(defect=False)),
        (KeyError("x"), DeadLetter(defect=True)),
        (NotYet("x"), Retry(0.5, first=True)),
        (DatasetMissing("x", 60.0), Retry(0.5, dataset_missing=True, first=True)),
        (SciCatError("x", 500), Retry(0.5, first=True)),
        (DocumentConflict("x", 409), Retry(0.5, first=True)),
        (TimedOut("x"), Retry(0.5, first=True)),
        (SciCatError("x", 429, retry_after=7.0), Retry(7.0, first=True)),
        (SciCatError("x"), Pause("SciCat does not answer", 0.0)),
        (SciCatError("x", 503, retry_after=7.0), Pause("SciCat answers with status 503", 7.0)),
    ],
)
def test_what_follows_from_the_first_failure(policy, error, decision):
    assert policy.failed(received(), error) == decision


def test_an_account_that_is_refused_pauses_all(policy):
    decision = policy.failed(received(), NotAllowed("x", 403))
    assert isinstance(decision, Pause)
    assert "check scicat.username" in decision.reason


def test_deciding_pauses_nothing(policy):
    policy.failed(received(), SciCatError("x", 503))
    assert policy.backoff.reason == ""


def test_waits_grow_and_only_the_first_retry_of_a_reason_says_so(policy):
    one = received()
    errors = [NotYet("x"), NotYet("x"), NotYet("x"), SciCatError("x", 500), SciCatError("x", 500)]
    assert [policy.failed(one, each) for each in errors] == [
        Retry(0.5, first=True),
        Retry(1.0),
        Retry(2.0),
        Retry(0.5, first=True),
        Retry(1.0),
    ]


def test_a_dataset_that_has_waited_its_time_is_a_dead_letter(policy):
    one = received()
    assert policy.failed(one, NotYet("x", 60.0)) == Retry(0.5, first=True)
    policy.clock.now += 59.5
    assert policy.failed(one, NotYet("x", 60.0)) == Retry(0.5)
    policy.clock.now += 0.5
    assert policy.failed(one, NotYet("x", 60.0)) == DeadLetter(defect=False)


def test_if_many_datasets_fail_and_none_succeeds_all_wait(policy):
    decisions = [policy.failed(received(), SciCatError("x", 500)) for _ in range(MIN_FAILING_DATASETS)]
    assert decisions[:-1] == [Retry(0.5, first=True)] * (MIN_FAILING_DATASETS - 1)
    assert decisions[-1] == Pause("SciCat answers with status 500", 0.0)


def test_after_another_dataset_has_succeeded_only_one_waits(policy):
    one = received()
    assert isinstance(policy.failed(one, SciCatError("x", 503)), Pause)
    policy.clock.now += 1.0
    policy.policy.succeeded(policy.clock.now)
    assert policy.failed(one, SciCatError("x", 503)) == Retry(0.5, first=True)
