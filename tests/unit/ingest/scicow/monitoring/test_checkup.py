"""What `scicow status` says of the port where a SciCow should be."""

from __future__ import annotations

from contextlib import closing

import pytest

from ingest.scicow.monitoring.checkup import CheckFailed, _replica
from ingest.scicow.settings import HttpSettings
from tests.servers.http_script import OK, Server, say
from tests.waiting import PATIENCE


@pytest.mark.parametrize(
    "answer",
    [OK, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"],
    ids=["another JSON", "no gzip"],
)
def test_another_programs_answer_is_reported_as_such(answer: bytes) -> None:
    server = Server()
    server.scripts = [say(answer)]
    settings = HttpSettings(host="127.0.0.1", port=int(server.url.rpartition(":")[2]))
    with closing(server), pytest.raises(CheckFailed, match=r"not served by SciCow.* Set http\.port"):
        _replica(settings, PATIENCE)
