"""A SciCow that is killed between two of its own steps, and another one that goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.catalogue import Catalogue
from tests.servers.kafka import Kafka, KafkaServer
from tests.soak.step_kills import StepKills, at_once

WRITES = {
    *("after POST v4/datasets", "after PATCH v4/datasets", "after POST v3/datasets/attachments"),
    *("after POST v3/origdatablocks", "after PATCH v3/origdatablocks", "after PATCH v4/attachments"),
    *("after a dead letter", "after an offset is stored"),
}


@pytest.mark.long  # `make soak` kills it at many more steps
def test_one_that_is_killed_after_a_write_of_any_kind_leaves_what_an_undisturbed_one_does(
    tmp_path: Path, kafka: Kafka, catalogue: Catalogue
) -> None:
    """`make soak` does it at every step, also with several workers, and by both versions of SciCat's API."""
    if not isinstance(kafka, KafkaServer):
        pytest.skip(f"a real Kafka of our own is needed, not {kafka.kind}")
    kills = StepKills(tmp_path, kafka.bootstrap, catalogue)
    steps = kills.undisturbed()
    assert set(steps) >= WRITES
    found = at_once(kills, sorted(WRITES))
    assert all(each.step for each in found)
    assert {each.step: each.differences for each in found if each.differences} == {}
