"""What the doctor says of a Kafka configuration, without a broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from scifish.settings import Settings
from scizoo.doctor.kafka_parts import kafka
from scizoo.doctor.report import NOT_CHECKED, WRONG


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("sasl.passwrod=s3cret", 'No such configuration property: "sasl.passwrod"'),
        ("stats_cb=s3cret", "expected stats_cb property as a callable function"),
    ],
)
def test_what_kafkas_library_does_not_take_is_said_with_file_and_property(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text(line)
    file.chmod(0o600)
    about, topic = kafka(Settings(kafka_bootstrap_servers="127.0.0.1:9", kafka_config_file=str(file)), 1.0)
    assert (about.state, topic.state) == (WRONG, NOT_CHECKED)
    assert f"KafkaConfigFile {file}: {says}" in about.text
    assert "s3cret" not in about.text
