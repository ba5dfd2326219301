"""One message into SciCat, on a catalogue in memory that can be told to fail."""

import logging
from functools import partial
from pathlib import Path

import pytest
import requests

from ingest.failures import DatasetMissing
from ingest.ingestor import Ingestor, describe
from ingest.ownership import by_settings
from ingest.scicat import Conflict, SciCat, SciCatError
from ingest.settings import load
from tests.kafka import file, message
from tests.unit.test_ingest_mapping import merge_patch

SETTINGS = load(Path(__file__).parents[2] / "docs" / "scicow.example.yaml", secrets=False)
PNG = "data:image/png;base64,AAAA"


class FakeSciCat:
    """What Ingestor needs of SciCat. `fail` lists (call, before or after it is done, error)."""

    def __init__(self):
        self.sets = {}
        self.blocks = {}
        self.pictures = {}
        self.writes = []
        self.fail = []
        self.token = True

    def _called(self, name, do=None):
        failures = [each for each in self.fail if each[0] == name]
        if failures:
            self.fail.remove(failures[0])
            if failures[0][1] == "after" and do:
                do()
            raise failures[0][2]
        if do:
            self.writes.append(name)
            do()

    def dataset(self, pid):
        self._called("dataset")
        return self.sets.get(pid)

    def create_dataset(self, given):
        pid = given["pid"]
        if pid in self.sets:
            raise Conflict("POST", 409)
        self._called("create_dataset", lambda: self.sets.update({pid: given}))

    def merge_dataset(self, pid, changes):
        self._called("merge_dataset", lambda: self.sets.update({pid: merge_patch(self.sets[pid], changes)}))

    def patch_dataset(self, pid, changes):
        self._called("patch_dataset", lambda: self.sets[pid].update(changes))

    def files(self, pid):
        self._called("files")
        return [each for block in self.blocks.get(pid, []) for each in block] if self.token else []

    def add_files(self, pid, files):
        self._called("add_files", lambda: self.blocks.setdefault(pid, []).append(files))

    def alive(self):
        return self.token

    def login(self):
        self.token = True

    def call(self, method, path, body=None):
        pictures = self.pictures.setdefault(path, [])
        if method == "GET":
            return pictures
        self._called("attach", lambda: pictures.append(body))
        return body


@pytest.fixture
def scicat():
    return FakeSciCat()


@pytest.fixture
def ingest(scicat):
    return Ingestor(scicat, SETTINGS, partial(by_settings, settings=SETTINGS)).ingest


def status(scicat, given):
    return scicat.sets[f"scizoo/{given['uuid']}"]["scientificMetadata"]["scan"]["status"]["value"]


def pair():
    began = message("began")
    return began, message("ended", began["uuid"])


def test_began_creates_and_ended_completes(scicat, ingest):
    began, ended = pair()
    ingest(began)
    assert status(scicat, began) == "running"
    ingest(ended)
    assert status(scicat, began) == "completed"
    assert scicat.writes == ["create_dataset", "merge_dataset", "add_files"]


@pytest.mark.parametrize("kind", ["ended", "snapshot"])
def test_without_began_the_dataset_is_created_whole(scicat, ingest, kind):
    given = message(kind)
    ingest(given)
    assert status(scicat, given) == "completed"
    assert scicat.writes == ["create_dataset", "add_files"]


def test_repeated_and_reordered_messages_change_nothing(scicat, ingest):
    began, ended = pair()
    ingest(ended)
    before = len(scicat.writes)
    for again in (began, ended, began, ended):
        ingest(again)
    assert status(scicat, began) == "completed"
    assert len(scicat.writes) == before


def test_what_people_wrote_stays(scicat, ingest):
    began, ended = pair()
    ingest(began)
    ingest(message("annotation", began["uuid"], annotation={"comment": "good", "rating": 3}))
    ingest(ended)
    found = scicat.sets[f"scizoo/{began['uuid']}"]
    assert (found["comment"], found["dataQualityMetrics"]) == ("good", 3)


def test_an_annotation_is_written_once_and_its_picture_too(scicat, ingest):
    began = message("began")
    ingest(began)
    said = {"comment": "good", "image": {"caption": "plot", "uri": PNG}}
    for _ in range(2):
        ingest(message("annotation", began["uuid"], annotation=said))
    assert scicat.writes == ["create_dataset", "patch_dataset", "attach"]
    assert list(scicat.pictures.values()) == [[{"ownerGroup": "20250001-group", "caption": "plot", "thumbnail": PNG}]]


def test_metadata_that_a_macro_adds_after_the_scan_are_beside_the_others(scicat, ingest):
    began, ended = pair()
    leaf = {"value": 0.5, "unit": "mm", "human_name": "centre", "source": "spock", "time": began["creationTime"]}
    late = message("annotation", began["uuid"], annotation={"scientificMetadata": {"Custom data": {"centre": leaf}}})
    for given in (began, late, ended, late):  # it may overtake the end
        ingest(given)
    found = scicat.sets[f"scizoo/{began['uuid']}"]["scientificMetadata"]
    (custom,) = (group for name, group in found.items() if name.casefold().startswith("custom"))
    assert custom["centre"]["value"] == 0.5
    assert status(scicat, began) == "completed"
    assert len(found) > 2
    assert scicat.writes == ["create_dataset", "merge_dataset", "merge_dataset", "add_files"]


def test_an_annotation_needs_its_dataset(ingest):
    with pytest.raises(DatasetMissing):
        ingest(message("annotation"))


def test_files_are_added_by_the_thousand_and_only_once(scicat, ingest):
    files = [file(f"/data/{number}") for number in range(2500)]
    scicat.fail = [("add_files", "before", SciCatError("POST", 503))]
    given = message("ended", files=[*files, files[0]])
    with pytest.raises(SciCatError):
        ingest(given)
    scicat.fail = []
    ingest(given)
    ingest(given)
    blocks = scicat.blocks[f"scizoo/{given['uuid']}"]
    assert [len(block) for block in blocks] == [1000, 1000, 500]


def test_further_parts_only_add_files(scicat, ingest):
    began, ended = pair()
    second = ended | {"part": {"number": 2, "of": 2}, "files": [file("/b")], "scientificMetadata": {}}
    with pytest.raises(DatasetMissing):
        ingest(second)
    ingest(began)
    ingest(second)
    assert status(scicat, began) == "running"
    ingest(ended | {"part": {"number": 1, "of": 2}})
    assert status(scicat, began) == "completed"
    assert [each["path"] for each in scicat.files(f"scizoo/{began['uuid']}")] == ["/b", "scan_0042.h5"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["dataset", "create_dataset", "merge_dataset", "files", "add_files"])
def test_a_failed_step_can_be_repeated_whether_or_not_it_was_done(scicat, ingest, call, when):
    began, ended = pair()
    scicat.fail = [(call, when, SciCatError(call, 500))]
    for given in (began, ended):
        for _ in range(2):
            try:
                ingest(given)
            except SciCatError:
                ingest(given)
    assert status(scicat, began) == "completed"
    assert len(scicat.files(f"scizoo/{began['uuid']}")) == 1
    assert not scicat.fail


def test_a_500_after_the_dataset_was_created_is_no_failure(scicat, ingest):
    scicat.fail = [("create_dataset", "after", SciCatError("POST", 500))]
    ingest(message("began"))
    assert len(scicat.sets) == 1


def test_an_expired_token_does_not_add_the_files_twice(scicat, ingest):
    given = message("ended")
    ingest(given)
    scicat.token = False
    ingest(given)
    assert len(scicat.blocks[f"scizoo/{given['uuid']}"]) == 1


def test_the_log_has_one_line_for_a_dataset_and_no_control_characters(ingest, caplog):
    caplog.set_level(logging.INFO)
    given = message("snapshot", datasetName="a\nERROR \x1b[31m \u202e", proposalId="p\n1")
    ingest(given)
    line = f"cosaxs 'p\\n1' 'a\\nERROR \\x1b[31m \\u202e' completed, 1 files: scizoo/{given['uuid']}"
    assert [each.getMessage() for each in caplog.records] == [line]
    assert describe(message(), "began") == "cosaxs 20250001 'ascan mot01 0 1 10 0.1' began"


def test_a_page_instead_of_a_token_is_an_answer_that_can_be_waited_out(monkeypatch):
    page = requests.Response()
    page.status_code = 200
    page._content = b"<html>We will be back soon</html>"
    monkeypatch.setattr(SciCat, "_send", lambda *_: page)
    with pytest.raises(SciCatError, match="no access_token") as raised:
        Ingestor(SciCat("http://localhost", "ingestor", "x"), SETTINGS, partial(by_settings, settings=SETTINGS)).ingest(
            message()
        )
    assert raised.value.status == 200
