"""An annotation waits for its dataset, and for nothing else."""

from __future__ import annotations

from pathlib import Path

from scifish.companion.late_annotations import waits_for_dataset
from scifish.dataset.compose import Record
from scifish.spool.database import OpenDatasetRow, Spool
from tests.builders.messages import message

DATASET = "0d1c950f-5492-5d5f-b66c-f788b18d1ef0"
COMMENT = Record("0d1c950f-5492-5d5f-b66c-f788b18d1ef1", 1.0, {"dataset": DATASET, "annotation": {"comment": "good"}})


def test_a_folder_that_cannot_be_read_does_not_count(tmp_path: Path) -> None:
    unreadable = tmp_path / ("x" * 300)  # an OSError that is neither "not found" nor "permission denied"
    own = tmp_path / "own" / "run-1.spool"
    own.parent.mkdir()
    assert not waits_for_dataset(COMMENT, own, [unreadable])
    (tmp_path / "other").mkdir()
    other = Spool(tmp_path / "other" / "run-0.spool", message()["origin"])
    other.begin(OpenDatasetRow.of(Record(DATASET, 1.0, {})))
    assert waits_for_dataset(COMMENT, own, [unreadable, other.path.parent])
    other.leave()
