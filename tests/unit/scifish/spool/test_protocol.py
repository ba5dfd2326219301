"""The lines between a program and its companion process."""

from __future__ import annotations

import json
import logging
import os

import pytest

from scifish.dataset.compose import Observed, Record, ending
from scifish.spool.database import OpenDatasetRow, as_text
from scifish.spool.protocol import (
    AliveReport,
    Announce,
    Begin,
    Command,
    DamageReport,
    End,
    Hello,
    LimitReport,
    LogReport,
    PlaceReport,
    Report,
    SnapshotReport,
    TroubleReport,
    Wake,
    decode_command,
    decode_hello,
    decode_report,
    encode,
)

UUID = "0d1c950f-5492-5d5f-b66c-f788b18d1ef0"
RECORD = Record(
    UUID,
    1764450000.125,
    {"datasetName": "a 'b' \"c\" \\ Å\nµm \u2028", "scientificMetadata": {}},
    observed=Observed({"proposalId": "20250001"}, None, ["w"]),
    ending=ending("completed", 1764450001.5, 5),
)
GIVEN = as_text(RECORD.given)


@pytest.mark.parametrize(
    "command", [Begin(OpenDatasetRow.of(RECORD, announced=True)), Announce(UUID, GIVEN), Announce(UUID, None), Wake()]
)
def test_a_command_arrives_as_it_was_sent(command: Command) -> None:
    line = encode(command)
    assert line.isascii()
    assert line.splitlines(keepends=True) == [line]
    assert decode_command(line) == command


def test_a_dataset_arrives_as_it_was_recorded() -> None:
    begin = decode_command(encode(Begin(OpenDatasetRow.of(RECORD))))
    assert isinstance(begin, Begin)
    assert begin.row.record() == RECORD
    end = decode_command(encode(End(UUID, as_text(RECORD.ending), GIVEN)))
    assert isinstance(end, End)
    assert (json.loads(end.ending), json.loads(end.given or "")) == (RECORD.ending, RECORD.given)


@pytest.mark.parametrize(
    "report",
    [
        AliveReport(),
        LogReport(logging.WARNING, "two\nlines"),
        TroubleReport(""),
        PlaceReport({"proposalId": "20250001"}),
        SnapshotReport(UUID, 500, [("Optics/Shutter", "no answer")], withheld=False, waits=True),
        LimitReport(2_000_000_000),
        DamageReport("malformed", 1),
    ],
)
def test_a_report_arrives_as_it_was_sent(report: Report) -> None:
    assert decode_report(encode(report)) == report


def test_a_folder_whose_name_is_not_utf8_arrives() -> None:
    hello = Hello(os.fsdecode(b"/data/\xff/run-1.spool"), 7, {"file": "x"}, ["/var/lib/scifish"])
    assert decode_hello(encode(hello)) == hello


HALF = encode(End(UUID, as_text(RECORD.ending), GIVEN))[:100]


@pytest.mark.parametrize("line", ["", "null", "{}", '{"type": "End", "uuid": ""}', '{"type": "Nothing"}', HALF])
def test_an_invalid_command_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="not a message of this pipe"):
        decode_command(line)
