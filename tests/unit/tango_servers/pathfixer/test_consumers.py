"""Sending the path to consumers, step by step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tango

from tango_servers.pathfixer import consumers
from tango_servers.pathfixer.consumers import TEMPLATE_FIELDS, Consumer, PathDistributor


class Late:
    """Replaces the proxy of a detector that shows nothing until `shows`, and answers while it is `up`."""

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
def test_a_consumer_that_shows_the_path_late_gets_it_again_after_a_restart(
    monkeypatch: pytest.MonkeyPatch, shows: bool, away: bool
) -> None:
    late = Late()
    monkeypatch.setattr(consumers.tango, "DeviceProxy", lambda _: late)
    distributor = PathDistributor([Consumer("a/b/late", attribute="FilePath")], lambda: None)
    (recipient,) = distributor._devices
    distributor.distribute(dict.fromkeys(TEMPLATE_FIELDS, "/data"))
    recipient._deliver_all()
    late.shows = shows
    recipient._deliver_all()
    if away:
        late.up = False
        recipient._deliver_all()
        assert distributor.report().refused == {"a/b/late": "it is away"}
    late.up, late.value = True, ""
    recipient._deliver_all()
    assert late.value == "/data"
    assert distributor.report().refused == {}


def test_without_a_path_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Late()
    detector.shows = True
    monkeypatch.setattr(consumers.tango, "DeviceProxy", lambda _: detector)
    distributor = PathDistributor([Consumer("a/b/detector", attribute="FilePath")], lambda: None)
    (recipient,) = distributor._devices
    distributor.distribute(dict.fromkeys(TEMPLATE_FIELDS, "/data"))
    recipient._deliver_all()
    assert detector.value == "/data"
    distributor.clear()
    detector.value = "/tmp/mine"
    for _ in range(2):
        recipient._deliver_all()
        assert detector.value == "/tmp/mine"
        seen = distributor.report()
        assert (seen.refused, seen.foreign, seen.pending) == ({}, (), ())
