"""The origin of messages: its run is the name of the spool."""

import json
import re
import socket

import pytest

from scifish.recording.origin import origin


@pytest.mark.parametrize("name", ["b311a.example.org", "", "a/b", "../x", ".hidden", "two\nlines", "h\udcff", "høst"])
def test_whatever_the_machine_is_called_its_name_can_be_sent_and_be_part_of_a_files_name(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: name)
    found = origin("program")
    assert re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", found["run"])
    assert found["run"].startswith(found["host"])
    assert json.dumps(found, ensure_ascii=False).encode()
    assert name != "b311a.example.org" or found["host"] == name
