"""What a log line of SciCow looks like, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.scicow import logs
from ingest.scicow.logs import add_to_context, message_context, plain
from tests.waiting import PATIENCE

HOSTILE = "scan\n2026-01-01 00:00:00 INFO ingest: all is well\r\x1b[2J\x9b31m\u2028\u202e\ud800\0"


@pytest.fixture
def logger(request: pytest.FixtureRequest) -> Iterator[Callable[[str], tuple[logging.Logger, io.StringIO]]]:
    log = logging.getLogger(f"test.{request.node.name}")
    log.propagate = False

    def made(form: str) -> tuple[logging.Logger, io.StringIO]:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logs.formatter(form))
        log.handlers = [handler]
        log.setLevel(logging.INFO)
        return log, stream

    yield made
    log.handlers = []


Make = Callable[[str], tuple[logging.Logger, io.StringIO]]


def test_a_line_about_a_dataset_says_its_uuid(logger: Make) -> None:
    log, stream = logger("text")
    with message_context(uuid="u-1", topic="scifish-cosaxs"):
        log.info("written")
        log.info("written as scizoo/u-1")
    log.info("nothing to do")
    assert [line.partition(": ")[2] for line in stream.getvalue().splitlines()] == [
        "written [u-1]",
        "written as scizoo/u-1",
        "nothing to do",
    ]


def test_a_json_line_has_all_that_is_known(logger: Make) -> None:
    log, stream = logger("json")
    with message_context(topic="scifish-cosaxs", partition=0, offset=0):
        add_to_context(uuid="u-1", beamline="cosaxs", proposal="1")
        log.warning("held: %s", "no answer")
    log.info("going on")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "warning",
        "logger": log.name,
        "message": "held: no answer",
        "topic": "scifish-cosaxs",
        "partition": 0,
        "offset": 0,
        "uuid": "u-1",
        "beamline": "cosaxs",
        "proposal": "1",
    }
    assert set(second) == {"time", "level", "logger", "message"}


def test_threads_speak_of_their_own_messages(logger: Make) -> None:
    log, stream = logger("json")
    inside, ready = threading.Event(), threading.Event()

    def work() -> None:
        with message_context(uuid="u-2"):
            ready.set()
            inside.wait(PATIENCE)
            log.info("two")

    thread = threading.Thread(target=work)
    with message_context(uuid="u-1"):
        thread.start()
        ready.wait(PATIENCE)
        log.info("one")
        inside.set()
        thread.join()
    said = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["message"], line["uuid"]) for line in said] == [("one", "u-1"), ("two", "u-2")]


@given(st.text())
def test_a_plain_text_is_one_line_of_printable_characters(text: str) -> None:
    assert plain(text).isprintable()
    assert not text.isprintable() or plain(text) == text


def test_a_long_text_is_cut_and_says_so() -> None:
    assert plain("x" * 20_000).endswith("x... (10000 more characters)")


@pytest.mark.parametrize("form", logs.LOG_FORMATS)
def test_what_users_wrote_breaks_no_line(logger: Make, form: str) -> None:
    log, stream = logger(form)
    with message_context(uuid=HOSTILE):
        add_to_context(proposal=HOSTILE)
        log.info("%s", HOSTILE)
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()


def test_a_stack_is_told_apart_from_lines_of_the_log(logger: Make) -> None:
    log, stream = logger("text")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("a mistake")
    first, *stack = stream.getvalue().splitlines()
    assert first.endswith("a mistake")
    assert len(stack) > 3
    assert all(line.startswith("  | ") and line.isprintable() for line in stack)


def test_a_stack_is_in_its_json_line(logger: Make) -> None:
    log, stream = logger("json")
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        log.exception("a mistake")
    (line,) = stream.getvalue().splitlines()
    assert "Traceback" in json.loads(line)["stack"]
