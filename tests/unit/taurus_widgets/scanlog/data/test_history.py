"""SciCat's reports of the changes of a dataset, in each of its forms."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.scicat import NotAllowed, SciCat, SciCatError
from taurus_widgets.scanlog.data.history import NO_CHANGES_KEPT, NO_CHANGES_SHOWN, FieldChange, history_in, read_history

TOLD = [
    {
        "updatedAt": "2025-10-01T12:00:00.000Z",
        "updatedBy": "ada",
        "comment": {"previousValue": "", "currentValue": "good"},
        "_id": "",
    },
    {
        "updatedAt": "2025-10-02T12:00:00.000Z",
        "updatedBy": "ben",
        "datasetlifecycle": {
            "previousValue": {"archivable": True, "publishable": False},
            "currentValue": {"archivable": False, "publishable": False},
        },
    },
]
BEFORE = {
    "_id": "p/1",
    "updatedAt": "2025-07-01T00:00:00.000Z",
    "updatedBy": "ingestor",
    "comment": "old",
    "scientificMetadata": {
        "Optics": {"Energy%2E1": {"value": 7.1, "unit": "keV", "valueSI": 1.1e-15, "unitSI": "J"}},
        "same": {"value": 1, "unit": ""},
    },
}


def document(**changes: Any) -> dict[str, Any]:
    return BEFORE | {"updatedAt": "2025-07-02T00:00:00.000Z"} | changes


class Stub(SciCat):
    """Returns the given answer to one call. Real answers are in SciCat's own tests (test/History.js)."""

    def __init__(self, answer: object) -> None:
        super().__init__("http://127.0.0.1:9")
        self.answer = answer
        self.asked: list[tuple[str, str, object]] = []

    def call(self, method: str, path: str, *args: Any, params: Any = None, **more: Any) -> Any:
        self.asked.append((method, path, params))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_dataset_without_history_must_be_requested() -> None:
    assert history_in({"pid": "p/1"}) is None


def test_the_history_in_v3_newest_first() -> None:
    past = history_in({"pid": "p/1", "history": TOLD})
    assert past is not None
    assert [change.user for change in past.changes] == ["ben", "ada"]
    assert past.changes[0].fields == (FieldChange(("datasetlifecycle", "archivable"), True, False),)
    assert past.changes[1].fields == (FieldChange(("comment",), "", "good"),)
    assert past.total == 2


@pytest.mark.parametrize("history", ["none", 5, [None, 3, {}, {"updatedAt": 5, "comment": {"previousValue": 1}}]])
def test_any_history_is_accepted(history: object) -> None:
    past = history_in({"pid": "p/1", "history": history})
    assert past is None or len(past.changes) <= 1


def test_whole_documents_are_compared() -> None:
    energy = {"value": 7.2, "unit": "keV", "valueSI": 1.2e-15, "unitSI": "J"}
    after = document(
        comment="new", scientificMetadata={"Optics": {"Energy%2E1": energy}, "same": {"value": 1, "unit": ""}}
    )
    items = [{"timestamp": "2025-07-02T00:00:00.000Z", "user": "ada", "before": BEFORE, "after": after}]
    stub = Stub({"items": items, "totalCount": 7})
    past = read_history(stub, "p/1")
    assert stub.asked == [
        ("GET", "/api/v3/history", {"filter": {"subsystem": "Dataset", "documentId": "p/1"}, "limit": "100"})
    ]
    assert [field.path for field in past.changes[0].fields] == [("comment",), ("Optics", "Energy.1")]
    assert past.total == 7


def test_parts_of_documents_are_compared_too() -> None:
    before = {"scientificMetadata": {"Optics": {"Energy": {"value": 7.1}}}}
    after = {"scientificMetadata": {"Optics": {"Energy": {"value": 7.2}}}}
    past = read_history(Stub({"items": [{"timestamp": "t", "before": before, "after": after}]}), "p/1")
    assert past.changes[0].fields == (FieldChange(("Optics", "Energy"), {"value": 7.1}, {"value": 7.2}),)


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (NotAllowed("GET", 403, "Forbidden resource"), NO_CHANGES_SHOWN),
        (SciCatError("GET", 404, "Cannot GET /api/v3/history"), NO_CHANGES_KEPT),
        ([], NO_CHANGES_KEPT),
        (None, NO_CHANGES_KEPT),
    ],
)
def test_a_server_without_history_is_not_an_error(answer: object, note: str) -> None:
    assert read_history(Stub(answer), "p/1").note == note


def test_an_unavailable_server_is_an_error() -> None:
    with pytest.raises(SciCatError):
        read_history(Stub(SciCatError("GET", 503, "away")), "p/1")
