"""One message into SciCat, on a catalogue in memory that fails on request."""

import logging
from dataclasses import replace
from functools import partial

import pytest

from ingest.scicat import SciCatError
from ingest.scicow.catalogue.ingestor import Ingestor, describe
from ingest.scicow.errors import DatasetMissing, MessageRefused, NotYet
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.pipeline.failure_policy import is_final
from ingest.scicow.settings import load
from tests.builders.messages import file, message, value
from tests.paths import DOCS
from tests.servers.fake_scicat import LIES, PNG, FakeServer, Killed, at, for_calls, once

SETTINGS = load(DOCS / "scicow.example.yaml", secrets=False)


@pytest.fixture(params=["v4", "v3"])
def scicat(request):
    return FakeServer(v4=request.param == "v4")


@pytest.fixture
def ingest(scicat):
    ingestor = make(scicat)
    ingestor._api()
    ingestor._client.login()
    return ingestor.ingest


def make(scicat, **changes):
    settings = replace(SETTINGS, **changes)
    return Ingestor(scicat.client(), settings, partial(by_settings, settings=settings))


def pid(given):
    return f"scizoo/{given['uuid']}"


def scan(scicat, given):
    return scicat.shown(pid(given))["scientificMetadata"]["scan"]


def status(scicat, given):
    return scan(scicat, given)["status"]["value"]


def paths(scicat, given):
    return [each["path"] for block in scicat.blocks for each in block["dataFileList"]]


def pair(**changes):
    began = message("began")
    return began, message("ended", began["uuid"], **changes)


def annotation(began, seq, **said):
    when = f"2026-11-22T10:01:{seq:02}.000Z"
    return message("annotation", began["uuid"], seq=seq, creationTime=when, annotation=said)


# --------------------------------------------------------------------------- datasets


def test_began_creates_and_ended_completes(scicat, ingest):
    began, ended = pair()
    ingest(began)
    assert status(scicat, began) == "running"
    ingest(ended)
    assert status(scicat, began) == "completed"
    assert scicat.writes() == ["datasets", "dataset", "origdatablocks"]


@pytest.mark.parametrize("kind", ["ended", "snapshot"])
def test_without_began_the_dataset_is_created_whole(scicat, ingest, kind):
    given = message(kind)
    ingest(given)
    assert status(scicat, given) == "completed"
    assert scicat.writes() == ["datasets", "origdatablocks"]


def test_as_few_calls_as_are_safe(scicat, ingest):
    began, ended = pair()
    calls = []
    for given in (began, ended, message("snapshot"), ended):
        before = len(scicat.calls)
        ingest(given)
        calls.append([kind for _, kind in scicat.calls[before:]])
    assert calls[0] == ["datasets"]
    assert calls[1] == ["dataset", "dataset", "dataset", "origdatablocks", "origdatablocks"]
    assert calls[2] == ["datasets", "origdatablocks", "origdatablocks"]
    assert calls[3] == ["dataset", "origdatablocks", "dataset"]  # the last one for its totals


def test_repeated_and_reordered_messages_change_nothing(scicat, ingest):
    began, ended = pair()
    ingest(ended)
    before = scicat.shown(pid(began))
    for again in (began, ended, began, ended):
        ingest(again)
    assert scicat.shown(pid(began)) == before
    assert len(scicat.blocks) == 1


def test_a_snapshot_twice_is_one_dataset(scicat, ingest):
    given = message("snapshot")
    ingest(given)
    ingest(given)
    assert len(scicat.sets) == len(scicat.blocks) == 1


@pytest.mark.parametrize("order", [("interrupted", "completed"), ("completed", "interrupted")])
def test_interrupted_is_a_guess_that_a_real_end_corrects(scicat, ingest, order):
    began, _ = pair()
    ends = {"completed": "2026-11-22T10:00:11.000Z", "interrupted": "2026-11-22T10:00:05.000Z"}
    ingest(began)
    for each in order:
        ingest(message("ended", began["uuid"], status=each, endTime=ends[each]))
    found = scicat.shown(pid(began))
    assert (status(scicat, began), found["endTime"]) == ("completed", ends["completed"])
    assert len(scicat.blocks) == 1


def test_of_two_real_ends_the_first_stays(scicat, ingest):
    began, ended = pair(status="stopped")
    for given in (began, ended, message("ended", began["uuid"])):
        ingest(given)
    assert status(scicat, began) == "stopped"


# ------------------------------------------------------------------------- revisions


FOLDER = "/data/visitors/cosaxs/20250001/raw"


def recordings(*files_of, **changes):
    """Snapshots of one dataset, each with these files (name and size) and a larger revision."""
    first = message("snapshot", files=[file(f"{FOLDER}/{name}", size) for name, size in files_of[0].items()], **changes)
    yield first
    for number, files in enumerate(files_of[1:], start=1):
        files = [file(f"{FOLDER}/{name}", size) for name, size in files.items()]
        yield message("snapshot", first["uuid"], seq=number + 1, revision=number, files=files, **changes)


def sizes(scicat):
    return {each["path"]: each["size"] for block in scicat.blocks for each in block["dataFileList"]}


def totals(scicat, given):
    found = scicat.shown(pid(given))
    return found["size"], found["numberOfFiles"]


def test_a_revision_writes_metadata_and_changed_files_and_leaves_what_people_wrote(scicat, ingest):
    first, second = recordings({"a": 1, "b": 2}, {"a": 1, "b": 5, "c": 7}, status="interrupted", warnings=["no b"])
    second |= {"status": "completed", "endTime": "2026-11-22T10:20:00.000Z", "scientificMetadata": {"x": value(2)}}
    second.pop("warnings")
    ingest(first)
    scicat.client().patch_dataset(pid(first), {"comment": "good", "dataQualityMetrics": 3})
    ingest(second)
    found = scicat.shown(pid(first))
    assert (found["endTime"], found["comment"], found["dataQualityMetrics"]) == (second["endTime"], "good", 3)
    assert found["scientificMetadata"]["x"]["value"] == 2
    assert (status(scicat, first), scan(scicat, first)["revision"]["value"]) == ("completed", 1)
    assert "warnings" not in scan(scicat, first)
    assert (sizes(scicat), totals(scicat, first)) == ({"a": 1, "b": 5, "c": 7}, (13, 3))


def test_a_file_that_changed_in_time_only_is_replaced(scicat, ingest):
    first, second = recordings({"a": 1}, {"a": 1})
    second["files"][0]["time"] = "2026-11-22T11:00:00.000Z"
    for given in (first, second):
        ingest(given)
    assert [each["time"] for block in scicat.blocks for each in block["dataFileList"]] == [second["files"][0]["time"]]


def test_an_equal_or_smaller_revision_changes_nothing(scicat, ingest):
    first, second, third = recordings({"a": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 1})
    for given in (first, second, third):
        ingest(given)
    before, blocks, written = scicat.shown(pid(first)), sizes(scicat), len(scicat.writes())
    for given in (first, second, third, second, first):
        ingest(given)
    assert (scicat.shown(pid(first)), sizes(scicat)) == (before, blocks)
    assert len(scicat.writes()) == written + 2  # each `first` tries to create it


def test_values_that_only_an_earlier_recording_has_are_not_lost_if_it_comes_last(scicat, ingest):
    first, second = recordings({"a": 1}, {"a": 2})
    first["scientificMetadata"] = {"Machine": {"Ring current": value(300, "mA")}, "Header": value("old")}
    second["scientificMetadata"] = {"Header": value("new")}
    for given in (second, first):
        ingest(given)
    metadata = scicat.shown(pid(first))["scientificMetadata"]
    assert (metadata["Machine"]["Ring current"]["value"], metadata["Header"]["value"]) == (300, "new")
    assert (sizes(scicat), scan(scicat, first)["revision"]["value"]) == ({"a": 2}, 1)


def test_a_further_part_waits_for_its_revision(scicat, ingest):
    first, second = recordings({"a": 1}, {"a": 2})
    ingest(first)
    rest = second | {"files": [file(f"{FOLDER}/b", 4)], "scientificMetadata": {}, "part": {"number": 2, "of": 2}}
    with pytest.raises(DatasetMissing, match="revision 1 of scizoo/"):
        ingest(rest)
    ingest(second | {"part": {"number": 1, "of": 2}})
    ingest(rest)
    assert (sizes(scicat), totals(scicat, first)) == ({"a": 2, "b": 4}, (6, 2))


def test_a_file_that_is_replaced_keeps_the_checksums_of_the_others(scicat, tmp_path):
    paths = [tmp_path / name for name in "ab"]
    for path in paths:
        path.write_bytes(b"1")
    ingestor = make(scicat, checksums="sha256", checksum_folders=(str(tmp_path),))
    first = message("snapshot", sourceFolder=str(tmp_path), files=[file(str(path), 1) for path in paths])
    ingestor.ingest(first)
    paths[1].write_bytes(b"22")
    changed = [file(str(paths[0]), 1), file(str(paths[1]), 2)]
    ingestor.ingest(first | {"revision": 1, "seq": 2, "files": changed})
    assert [block["chkAlg"] for block in scicat.blocks] == ["sha256"]
    found = {each["path"]: each["chk"][:6] for block in scicat.blocks for each in block["dataFileList"]}
    assert found == {"a": "6b86b2", "b": "785f3e"}


def test_what_people_wrote_stays(scicat, ingest):
    began, ended = pair()
    ingest(began)
    scicat.client().patch_dataset(pid(began), {"comment": "good", "dataQualityMetrics": 3})
    ingest(ended)
    found = scicat.shown(pid(began))
    assert (found["comment"], found["dataQualityMetrics"]) == ("good", 3)


def test_a_proposal_that_was_not_known_in_the_beginning(scicat, ingest):
    began, ended = pair()
    ingest(began | {"proposalId": ""})
    assert scicat.shown(pid(began))["ownerGroup"] == "cosaxs-staff"
    ingest(ended)
    found = scicat.shown(pid(began))
    assert (found["ownerGroup"], found["proposalId"], found["sampleId"]) == ("20250001-group", "20250001", "S-1")


def with_other_groups(scicat):
    """A dataset with two files and twelve pictures whose proposal becomes known only in its end, and that end."""
    began = message("began", proposalId="")
    ingest = make(scicat).ingest
    ingest(began)
    for number in range(12):
        ingest(annotation(began, number + 2, image={"caption": f"{number}", "uri": PNG}))
    for path in ("a.h5", "b.h5"):
        body = {"datasetId": pid(began), "size": 1, "dataFileList": [{"path": path, "size": 1, "time": "2026-11-22"}]}
        scicat.add_block(body)
    return message("ended", began["uuid"])


def groups(documents):
    return {(each["ownerGroup"], *each["accessGroups"]) for each in documents}


def test_files_and_pictures_get_the_groups_that_the_dataset_gets():
    scicat = FakeServer()
    ended = with_other_groups(scicat)
    assert groups([*scicat.blocks, *scicat.pictures]) == {("cosaxs-staff", "cosaxs")}
    make(scicat).ingest(ended)
    assert groups([scicat.shown(pid(ended)), *scicat.blocks, *scicat.pictures]) == {("20250001-group", "cosaxs")}
    assert totals(scicat, ended) == (12, 3)


def test_a_dataset_has_its_new_groups_only_if_all_that_belongs_to_it_has():
    """Whoever is killed in between finds in the dataset that it is not done."""
    number, killed = 0, True
    while killed:
        number += 1
        scicat = FakeServer()
        ended = with_other_groups(scicat)
        scicat.fault = at(number, "kill after")
        try:
            make(scicat).ingest(ended)
            killed = False
        except Killed:
            rest = [*scicat.blocks[:2], *scicat.pictures]
            assert groups([scicat.shown(pid(ended))]) == {("cosaxs-staff", "cosaxs")} or len(groups(rest)) == 1
        scicat.fault = lambda *_: ""
        make(scicat).ingest(ended)
        assert groups([scicat.shown(pid(ended)), *scicat.blocks, *scicat.pictures]) == {("20250001-group", "cosaxs")}
    assert number > 15


def test_groups_that_scicat_refuses_to_change_are_reported_and_hold_nothing_up(caplog):
    scicat = FakeServer(v4=False)  # only version 4 can change those of a picture
    ended = with_other_groups(scicat)
    make(scicat).ingest(ended)
    assert status(scicat, ended) == "completed"
    assert groups(scicat.blocks) == {("20250001-group", "cosaxs")}
    assert caplog.text.count("keeps the groups that it had before") == len(scicat.pictures[-10:])


@pytest.mark.parametrize("when", ["500", "500 after", "lost", "lost after", "kill", "kill after", "expire"])
@pytest.mark.parametrize("number", range(1, 7))
def test_each_call_may_fail_and_the_message_come_again(scicat, ingest, number, when):
    began, ended = pair()
    picture = annotation(began, 3, comment="good", image={"caption": "plot", "uri": PNG})
    for given in (began, ended, picture):
        scicat.fault = at(number, when)
        for _ in range(3):
            try:
                ingest(given)
            except (SciCatError, Killed):
                continue
            break
        scicat.fault = lambda *_: ""
        ingest(given)
    found = scicat.shown(pid(began))
    assert (status(scicat, began), found["comment"]) == ("completed", "good")
    assert (found["size"], found["numberOfFiles"]) == (10, 1)
    assert len(scicat.blocks) == len(scicat.pictures) == 1


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("calls", [1, 5])
@pytest.mark.parametrize("first", range(1, 7))
def test_what_a_proxy_answers_in_the_place_of_scicat_does_not_count_as_written(scicat, ingest, first, calls, lie):
    began, ended = pair()
    picture = annotation(began, 3, comment="good", image={"caption": "plot", "uri": PNG})
    for given in (began, ended, picture):
        scicat.fault = for_calls(first, calls, f"lie:{lie}")
        for _ in range(20):
            try:
                ingest(given)
            except (SciCatError, NotYet) as error:
                if is_final(error):
                    raise
            else:
                break
        else:
            pytest.fail("it never counts as written")
    scicat.fault = lambda *_: ""
    found = scicat.shown(pid(began))
    assert (status(scicat, began), found["comment"]) == ("completed", "good")
    assert (found["size"], found["numberOfFiles"]) == (10, 1)
    assert len(scicat.blocks) == len(scicat.pictures) == 1


def test_a_body_that_scicat_would_not_take_is_refused_before_it_is_sent(scicat, ingest):
    given = message("began", scientificMetadata={"a": value("x" * 17_000_000)})
    with pytest.raises(MessageRefused, match="bytes are more than SciCat accepts"):
        ingest(given)
    assert not scicat.writes()


def test_a_message_for_which_the_mapping_lacks_what_is_required_is_refused(scicat, tmp_path):
    page = tmp_path / "mapping.yaml"
    page.write_text('fields: {datasetName: "{environment.title}"}\n')
    with pytest.raises(MessageRefused, match="the mapping has no value for datasetName"):
        make(scicat, mapping=str(page)).ingest(message(environment={}))


# -------------------------------------------------------------------------- annotations


def test_an_annotation_is_written_once_and_its_picture_too(scicat, ingest):
    began = message("began")
    ingest(began)
    said = annotation(began, 2, comment="good", image={"caption": "plot", "uri": PNG})
    for _ in range(2):
        ingest(said)
    assert scicat.writes() == ["datasets", "attachments", "dataset"]
    assert [(each["caption"], each["ownerGroup"]) for each in scicat.pictures] == [("plot", "20250001-group")]


def test_a_repeated_annotation_overwrites_no_newer_comment(scicat, ingest):
    began = message("began")
    first, second = annotation(began, 2, comment="one", rating=1), annotation(began, 3, comment="two")
    for given in (began, first, second, first):
        ingest(given)
    assert scicat.shown(pid(began))["comment"] == "two"
    scicat.client().patch_dataset(pid(began), {"comment": "by a person", "dataQualityMetrics": 3})
    for given in (first, second):
        ingest(given)
    found = scicat.shown(pid(began))
    assert (found["comment"], found["dataQualityMetrics"]) == ("by a person", 3)
    assert scan(scicat, began)["annotations"]["value"] == "run-1:2 run-1:3"


def test_an_annotation_that_was_a_dead_letter_comes_behind_the_later_one(scicat, ingest):
    began = message("began")
    for given in (began, annotation(began, 3, comment="two"), annotation(began, 2, comment="one", rating=1)):
        ingest(given)
    found = scicat.shown(pid(began))
    assert (found["comment"], found["dataQualityMetrics"]) == ("two", 1)


def test_the_last_fifty_annotations_are_remembered(scicat, ingest):
    began = message("began")
    ingest(began)
    for number in range(2, 56):
        ingest(annotation(began, number, rating=number % 2))
    ids = scan(scicat, began)["annotations"]["value"].split()
    assert ids == [f"run-1:{number}" for number in range(6, 56)]


def test_the_marks_of_annotations_survive_the_end(scicat, ingest):
    began, ended = pair()
    for given in (began, annotation(began, 2, comment="one"), ended):
        ingest(given)
    assert scan(scicat, began)["annotations"]["value"] == "run-1:2"
    assert status(scicat, began) == "completed"


def test_metadata_that_a_macro_adds_after_the_scan_are_beside_the_others(scicat, ingest):
    began, ended = pair()
    leaf = value(0.5, "mm", source="spock")
    late = annotation(began, 2, scientificMetadata={"Custom data": {"centre": leaf}, "scan": {"status": leaf}})
    for given in (began, late, ended, late):  # it may overtake the end
        ingest(given)
    found = scicat.shown(pid(began))["scientificMetadata"]
    assert found["Custom data"]["centre"]["value"] == 0.5
    assert found["scan_2"]["status"]["value"] == 0.5
    assert status(scicat, began) == "completed"
    assert scicat.writes() == ["datasets", "dataset", "dataset", "origdatablocks"]


def test_an_annotation_needs_its_dataset(ingest):
    with pytest.raises(DatasetMissing):
        ingest(message("annotation"))


def test_the_first_picture_stays_the_first(scicat, ingest):
    began = message("began")
    ingest(began)
    for caption in ("plot", "photo", "plot"):
        ingest(annotation(began, 2, image={"caption": caption, "uri": PNG}))
    assert [each["caption"] for each in scicat.pictures] == ["plot", "photo"]


# -------------------------------------------------------------------------------- files


def parts(count=5000, of=4):
    files = [file(f"/data/visitors/cosaxs/20250001/raw/{number:04}.h5", number) for number in range(count)]
    began, ended = pair()
    size = -(-count // of)
    return began, [
        ended
        | {"part": {"number": number + 1, "of": of}, "files": files[number * size : (number + 1) * size]}
        | ({"scientificMetadata": {}} if number else {})
        for number in range(of)
    ]


def assert_all_files_once(scicat, count=5000):
    found = paths(scicat, None)
    assert len(found) == count
    assert sorted(found) == [f"{number:04}.h5" for number in range(count)]
    assert all(len(block["dataFileList"]) <= 1000 for block in scicat.blocks)
    assert all(block["size"] == sum(each["size"] for each in block["dataFileList"]) for block in scicat.blocks)


def test_five_thousand_files_in_several_parts_each_delivered_twice(scicat, ingest):
    began, ended = parts()
    for given in (began, *ended, *reversed(ended)):
        ingest(given)
    assert_all_files_once(scicat)
    found = scicat.shown(pid(began))
    assert (found["size"], found["numberOfFiles"]) == (sum(range(5000)), 5000)


def test_a_part_may_come_before_the_first(scicat, ingest):
    began, ended = parts()
    with pytest.raises(DatasetMissing):
        ingest(ended[1])
    ingest(began)
    ingest(ended[1])
    assert status(scicat, began) == "running"
    for given in (ended[0], ended[3], ended[2]):
        ingest(given)
    assert status(scicat, began) == "completed"
    assert_all_files_once(scicat)


@pytest.mark.parametrize("when", ["kill", "kill after"])
def test_interrupted_after_each_call(scicat, ingest, when):
    began, ended = parts(of=2)
    ingest(began)
    number = 0
    for given in ended:
        killed = True
        while killed:  # each time one call further
            number += 1
            scicat.fault = at(number, when)
            try:
                ingest(given)
            except Killed:
                continue
            killed = False
        number = 0
    assert_all_files_once(scicat)


def other_scicow(scicat, given):
    """It is killed just after its block is written, when ours has already looked."""
    done = []

    def after(server, method, kind):
        if (method, kind) == ("POST", "origdatablocks") and not done:
            done.append(True)
            server.add_block({name: server.blocks[-1][name] for name in ("datasetId", "size", "dataFileList")})

    scicat.after = after


def test_a_block_that_another_scicow_wrote_at_the_same_moment_is_deleted(scicat, ingest, caplog):
    given = message("snapshot")
    other_scicow(scicat, given)
    ingest(given)
    found = scicat.shown(pid(given))
    assert (len(scicat.blocks), found["size"], found["numberOfFiles"]) == (1, 10, 1)
    assert "which another SciCow had written as well" in caplog.text


def test_without_the_right_to_delete_the_log_says_what_to_do(scicat, ingest, caplog):
    scicat.may_delete = False
    given = message("snapshot")
    other_scicow(scicat, given)
    ingest(given)
    assert len(scicat.blocks) == 2
    assert pid(given) in caplog.text
    assert "DELETE_GROUPS" in caplog.text


def test_a_file_that_is_gone_is_listed_with_what_is_known(scicat, ingest):
    ingest(message("snapshot", files=[file("/gone.h5", 0) | {"error": "not there"}]))
    assert scicat.blocks[0]["dataFileList"] == [{"path": "/gone.h5", "size": 0, "time": "2026-11-22T10:00:11.000Z"}]


def test_checksums_of_the_files_that_this_machine_sees(scicat, tmp_path, caplog):
    (tmp_path / "a.h5").write_bytes(b"abc")
    files = [file(str(tmp_path / "a.h5"), 3), file(str(tmp_path / "gone.h5"), 3)]
    given = message("snapshot", sourceFolder=str(tmp_path), files=files)
    make(scicat, checksums="sha256", checksum_folders=(str(tmp_path),)).ingest(given)
    (block,) = scicat.blocks
    assert block["chkAlg"] == "sha256"
    assert [each.get("chk", "")[:8] for each in block["dataFileList"]] == ["ba7816bf", ""]
    assert "1 of 2 files have no checksum" in caplog.text


# ---------------------------------------------------------------------------------- log


def test_the_log_has_one_line_for_a_dataset_and_no_control_characters(ingest, caplog):
    caplog.set_level(logging.INFO)
    given = message("snapshot", datasetName="a\nERROR \x1b[31m \u202e", proposalId="p\n1")
    ingest(given)
    line = f"cosaxs 'p\\n1' 'a\\nERROR \\x1b[31m \\u202e' completed, 1 files: scizoo/{given['uuid']}"
    assert [each.getMessage() for each in caplog.records] == [line]
    assert describe(message(), "began") == "cosaxs 20250001 'ascan mot01 0 1 10 0.1' began"


def test_a_page_instead_of_a_token_is_an_answer_that_can_be_waited_out(scicat):
    scicat.fault = once("login", "halfjson after")
    with pytest.raises(SciCatError, match="no access_token") as raised:
        make(scicat).ingest(message())
    assert raised.value.temporary
