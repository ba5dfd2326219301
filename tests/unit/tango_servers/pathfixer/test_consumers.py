"""Handing the path on, look by look."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tango

from tango_servers.pathfixer import consumers
from tango_servers.pathfixer.consumers import FIELDS, Consumer, HandOver


class Late:
    """Stands for the proxy of a detector that shows nothing until `shows`, and answers while it is `up`."""

    def __init__(self) -> None:
        self.value, self.shows, self.up = "", False, True

    def ping(self) -> None:
        if not self.up:
            tango.Except.throw_exception("Detector_Away", "it is away", "Late")

    def set_timeout_millis(self, _: int) -> None:
        pass

    def write_attribute(self, _: str, value: str) -> None:
        self.ping()
        self.value = value

    def read_attribute(self, _: str) -> SimpleNamespace:
        self.ping()
        return SimpleNamespace(value=self.value if self.shows else "")


@pytest.mark.parametrize(("shows", "away"), [(True, True), (True, False), (False, True)])
def test_one_that_shows_it_late_gets_it_again_after_a_restart(
    monkeypatch: pytest.MonkeyPatch, shows: bool, away: bool
) -> None:
    late = Late()
    monkeypatch.setattr(consumers.tango, "DeviceProxy", lambda _: late)
    hand_over = HandOver([Consumer("a/b/late", attribute="FilePath")], lambda: None)
    (recipient,) = hand_over._recipients
    hand_over.hand_on(dict.fromkeys(FIELDS, "/data"))
    recipient._work()
    late.shows = shows
    recipient._work()
    if away:
        late.up = False
        recipient._work()
        assert hand_over.seen().refused == {"a/b/late": "it is away"}
    late.up, late.value = True, ""
    recipient._work()
    assert late.value == "/data"
    assert hand_over.seen().refused == {}


def test_without_a_path_nobody_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Late()
    detector.shows = True
    monkeypatch.setattr(consumers.tango, "DeviceProxy", lambda _: detector)
    hand_over = HandOver([Consumer("a/b/detector", attribute="FilePath")], lambda: None)
    (recipient,) = hand_over._recipients
    hand_over.hand_on(dict.fromkeys(FIELDS, "/data"))
    recipient._work()
    assert detector.value == "/data"
    hand_over.let_go()
    detector.value = "/tmp/mine"
    for _ in range(2):
        recipient._work()
        assert detector.value == "/tmp/mine"
        seen = hand_over.seen()
        assert (seen.refused, seen.foreign, seen.pending) == ({}, (), ())
