"""The subscriptions to configurations: one for each attribute, whatever its heartbeat does."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from scifish.attributes import configuration
from scifish.attributes.configuration import AttributeConfig, ConfigEvents
from scifish.tango_io.executors import SerialExecutor

INFO = SimpleNamespace(unit="mm", enum_labels=[])


class Device:
    """A DeviceProxy that keeps its subscriptions by number."""

    def __init__(self) -> None:
        self.subscriptions: dict[int, Callable[[Any], None]] = {}
        self.ended: list[int] = []

    def subscribe_event(self, attribute: str, kind: Any, on_event: Callable[[Any], None]) -> int:
        number = len(self.subscriptions) + len(self.ended) + 1
        self.subscriptions[number] = on_event
        on_event(SimpleNamespace(err=False, attr_conf=INFO))
        return number

    def unsubscribe_event(self, number: int) -> None:
        del self.subscriptions[number]
        self.ended.append(number)


def test_an_attribute_whose_heartbeat_fails_is_not_subscribed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device()
    monkeypatch.setattr(configuration.tango, "DeviceProxy", lambda name: device)
    monkeypatch.setattr(configuration, "SUBSCRIPTION_RETRY_SECONDS", -1.0)  # at once
    at_once = cast(SerialExecutor, SimpleNamespace(submit=lambda work: work()))
    events = ConfigEvents("a/b/c", at_once)
    events.follow(["position"])
    assert events.known == {"position": AttributeConfig("mm")}
    device.subscriptions[1](SimpleNamespace(err=True))
    assert events.known == {}
    events.follow(["position"])
    assert list(device.subscriptions) == [1]
    device.subscriptions[1](SimpleNamespace(err=False, attr_conf=INFO))
    assert events.known == {"position": AttributeConfig("mm")}
    events.lost()
    assert device.subscriptions == {}
    events.follow(["position"])
    assert list(device.subscriptions) == [2]
