"""Times and offsets on the command line, and what a terminal is shown."""

import argparse
import dataclasses
import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.scicow.commands.selection import topics_of
from ingest.scicow.commands.terminal import ProgressLine, aligned, confirmed, cut_to_terminal, plain_lines
from ingest.scicow.kafka.range_arguments import format_bound, iso_seconds, parse_bound, parse_time
from ingest.scicow.kafka.topics import MessagePosition, TopicError
from ingest.scicow.logs import plain
from ingest.scicow.settings import load
from tests.paths import DOCS

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22", 1795305600.0),
        ("2026-11-22T10:00", 1795341600.0),
        ("2026-11-22T10:00:00Z", 1795341600.0),
        ("2026-11-22T11:00+01:00", 1795341600.0),
        ("90m", NOW - 5400),
        ("1.5h", NOW - 5400),
        ("2w", NOW - 1_209_600),
    ],
)
def test_times(text, seconds):
    assert parse_time(text, lambda: NOW) == seconds
    assert parse_bound(text, lambda: NOW) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "20261122", "2026-13-01", "5 h", "-5h", "1e3h", "2026-11-22T25:00"])
def test_invalid_times(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time: write 2026-11-22"):
        parse_time(text, lambda: NOW)


def test_offsets():
    assert parse_bound("1200") == {None: 1200}
    assert parse_bound("0:1,12:5") == {0: 1, 12: 5}
    for text in ("0:1,0:2", "0:", "0:1,", "-1", "1:2:3"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_bound(text)


@given(st.dictionaries(st.integers(0, 99), st.integers(0, 10**17), min_size=1))
def test_offsets_are_read_as_they_are_shown(offsets):
    assert parse_bound(format_bound(offsets)) == offsets


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_times_are_read_as_they_are_shown(seconds):
    assert parse_time(iso_seconds(seconds)) == seconds


@given(st.floats())
def test_any_time_of_a_producer_can_be_shown(seconds):
    assert iso_seconds(seconds)


@given(st.text())
def test_no_text_can_steer_a_terminal(text):
    shown = plain_lines(text)
    assert all(each.isprintable() or each == "\n" for each in shown)
    shown.encode()
    assert plain(text).isprintable()


def test_a_table_is_cut_to_the_terminal_only_where_there_is_one(monkeypatch):
    lines = aligned([("ID", "REASON"), ("0:1", "x" * 500)])
    assert cut_to_terminal(lines).splitlines() == ["ID   REASON", f"0:1  {'x' * 500}"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "20")
    assert cut_to_terminal(lines).splitlines()[1] == f"0:1  {'x' * 14}…"


def test_progress_is_reported_only_if_it_takes_long(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("ingest.scicow.commands.terminal.time.monotonic", lambda: now[0])
    count = ProgressLine("replayed", 5000)
    count(1)
    assert capsys.readouterr().err == ""
    now[0] = 2.5
    count(1200)
    count(1300)
    count.over()
    assert capsys.readouterr().err == "replayed: 1,200 of 5,000 \n"


@pytest.mark.parametrize(("answer", "agrees"), [("y\n", True), ("YES\n", True), ("\n", False), ("", False)])
def test_a_question_is_asked_only_at_a_terminal(monkeypatch, answer, agrees):
    stdin = io.StringIO(answer)
    monkeypatch.setattr(sys, "stdin", stdin)
    assert not confirmed("sure?")
    stdin.isatty = lambda: True
    assert confirmed("sure?") == agrees


def test_the_topics_of_a_beamline():
    settings = load(DOCS / "scicow.example.yaml", secrets=False)
    kafka = dataclasses.replace(settings.kafka, beamline_topics={"veritas": ("x-*", "veritas")})
    settings = dataclasses.replace(settings, kafka=kafka)
    there = ["scifish-max", "scifish-bio-max", "scifish-veritas", "x-1", "x-2"]
    assert topics_of("max", there, settings) == ["scifish-max"]
    assert topics_of("veritas", there, settings) == ["x-1", "x-2"]
    with pytest.raises(TopicError, match="no topic scifish-nobody; use --topic, or correct"):
        topics_of("nobody", there, settings)


@given(st.from_regex(r"[A-Za-z0-9._-]{1,249}", fullmatch=True), st.integers(0, 999), st.integers(0, 10**17))
def test_a_place_is_read_as_it_is_written(topic, partition, offset):
    place = MessagePosition(topic, partition, offset)
    assert MessagePosition.parse(f"replay of {place}") == place


@given(st.text())
def test_any_text_may_be_asked_for_a_place(text):
    assert MessagePosition.parse(text) is None or str(MessagePosition.parse(text)) in text
