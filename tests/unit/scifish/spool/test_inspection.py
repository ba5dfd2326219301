"""`scifish list`: each message that waits, and that `scicow audit` can read it."""

import json

from ingest.scicow.audit import spool_listing
from scifish.cli import main
from scifish.dataset.compose import Observed, Record
from scifish.spool.database import OpenDatasetRow, Spool
from tests.builders.messages import message

ORIGIN = message()["origin"]


def make(folder):
    spool = Spool(folder / "a.spool", ORIGIN)
    given = message("ended", datasetName="scan \x1b1")
    spool.put("scifish-cosaxs", given, message("annotation", given["uuid"]))
    spool.refuse({2: "too large"})
    spool.begin(OpenDatasetRow.of(Record("u-1", 1_795_341_600.0, {}, False, Observed(), None)))
    return spool, given


def test_it_lists_what_waits_what_is_refused_and_what_is_recorded(tmp_path, capsys):
    spool, given = make(tmp_path)
    assert main(["--spool", str(tmp_path), "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    [one] = found["spools"]
    assert one["alive"]
    assert [(each["seq"], each["type"], each["uuid"], each["refused"]) for each in one["messages"]] == [
        (1, "ended", given["uuid"], ""),
        (2, "annotation", given["uuid"], "too large"),
    ]
    assert one["messages"][0]["name"] == "scan \x1b1"
    assert one["recording"] == [{"uuid": "u-1", "since": "2026-11-22T10:00:00.000Z"}]
    (tmp_path / "list.json").write_text(json.dumps(found))
    listing = spool_listing.read(tmp_path / "list.json")
    assert [(each.run, each.seq, each.refused) for each in listing.messages] == [
        ("run-1", 1, ""),
        ("run-1", 2, "too large"),
    ]
    assert listing.recording == (spool_listing.RunningDataset("u-1", True),)
    spool.leave()


def test_a_person_gets_a_line_for_each(tmp_path, capsys):
    spool, given = make(tmp_path)
    spool.leave()
    assert main(["--spool", str(tmp_path), "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert f"sardana 1 scifish-cosaxs {given['uuid']} ended 'scan \\x1b1'" in lines[0]
    assert lines[1].endswith("annotation refused: too large")
    assert lines[2].endswith("u-1 has not ended, and its program has exited")


def test_an_empty_folder_and_a_broken_spool(tmp_path, capsys):
    assert main(["--spool", str(tmp_path), "list"]) == 0
    assert capsys.readouterr().out == "no messages wait\n"
    (tmp_path / "b.spool").write_bytes(b"junk" * 1000)
    assert main(["--spool", str(tmp_path), "list", "--json"]) == 2
    [problem] = json.loads(capsys.readouterr().out)["problems"]
    assert "b.spool: cannot be read" in problem
