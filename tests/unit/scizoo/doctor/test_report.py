"""The report as text and as JSON, and what is never in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scifish.settings import Settings
from scizoo.doctor import examination
from scizoo.doctor.kafka_parts import topic_problems
from scizoo.doctor.report import NOT_CHECKED, OK, WRONG, BeamlineReport, PartReport, as_json, as_text
from scizoo.doctor.secrets import secrets_of

SECRET = 'pass"word'

REPORT = BeamlineReport(
    {"host": "b311a-cc-0"},
    (
        PartReport("Kafka", OK, "kafka:9092 answers"),
        PartReport(
            "Path consumers", WRONG, f"two lines\nwith {SECRET}", "do this\nand that", {"seen": [{"x": SECRET}, 3]}
        ),
        PartReport("SciCow", NOT_CHECKED, "not from here"),
    ),
    (SECRET, "ab"),
)


def test_the_text_has_a_line_for_each_part_with_what_to_do_below() -> None:
    assert as_text(REPORT).splitlines() == [
        "host b311a-cc-0",
        "ok     Kafka           kafka:9092 answers",
        "WRONG  Path consumers  two lines",
        "                       with ***",
        "                       -> do this",
        "                       -> and that",
        "?      SciCow          not from here",
        "1 of 3 parts are wrong, 1 could not be checked from here.",
    ]


def test_the_json_has_states_and_facts() -> None:
    found = json.loads(as_json(REPORT))
    assert found["ok"] is False
    assert found["about"] == {"host": "b311a-cc-0"}
    assert found["parts"]["Path consumers"] == {
        "state": "wrong",
        "text": "two lines\nwith ***",
        "advice": "do this\nand that",
        "seen": [{"x": "***"}, 3],
    }


def test_secrets_are_those_of_the_environment_and_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kafka.properties"
    file.touch(0o600)
    file.write_text("sasl.username=scicow\nsasl.password=of-kafka\nssl.key.password=of-key\nssl.ca.location=/ca.pem\n")
    monkeypatch.setenv("SCIZOO_SCICAT_PASSWORD", "of-scicat")
    found = secrets_of(Settings(kafka_config_file=str(file)), None)
    assert {"of-kafka", "of-key", "of-scicat"} <= set(found)
    assert not {"scicow", "/ca.pem"} & set(found)
    file.chmod(0o644)  # refused, so nothing of it can be shown
    assert "of-kafka" not in secrets_of(Settings(kafka_config_file=str(file)), None)


@pytest.mark.parametrize(
    ("setting", "value", "is_wrong"),
    [
        ("retention.ms", "604800000", False),
        ("retention.ms", "604799999", True),
        ("retention.ms", "-1", False),
        ("cleanup.policy", "delete", False),
        ("cleanup.policy", "compact,delete", True),
        ("cleanup.policy", "compact", True),
        ("max.message.bytes", "1048588", False),
        ("max.message.bytes", "900000", True),
    ],
)
def test_which_settings_of_a_topic_are_wrong(setting: str, value: str, is_wrong: bool) -> None:
    assert set(topic_problems({setting: value})) == ({setting} if is_wrong else set())


def test_no_text_is_shown_where_the_secrets_are_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang_on_disk(*_: object) -> tuple[str, ...]:
        raise TimeoutError("no answer")

    monkeypatch.setenv("TANGO_HOST", "localhost:1")  # nothing listens there
    monkeypatch.setattr(examination, "secrets_of", hang_on_disk)
    found = examination.examine(5.0, None)
    assert found.parts
    for part in found.parts:
        assert part.text.startswith("not shown: the files that have passwords could not be read")
        assert not part.advice
        assert not part.facts
