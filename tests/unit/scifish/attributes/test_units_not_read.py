"""A value whose unit could not be read never looks like one without a unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import tango

from scifish.attributes import reader as reader_module
from scifish.attributes.reader import Reader
from scifish.attributes.snapshot import read_snapshot
from scifish.settings import Settings

SOURCE = "a/b/c/position"
INFO = SimpleNamespace(name="Position", unit="mm", enum_labels=[], data_type=int(tango.CmdArgType.DevDouble))
VALUE = SimpleNamespace(
    has_failed=False,
    value=1.5,
    quality=tango.AttrQuality.ATTR_VALID,
    type=tango.CmdArgType.DevDouble,
    data_format=tango.AttrDataFormat.SCALAR,
    time=SimpleNamespace(totime=lambda: 1000.0),
    name="Position",
)


def failure(kind: type[tango.DevFailed], reason: str) -> tango.DevFailed:
    error = tango.DevError()
    error.reason, error.desc, error.origin, error.severity = reason, "it fails", "test", tango.ErrSeverity.ERR
    return kind(error)


class Device:
    """A DeviceProxy; the queries of its configuration give `answers`, one after the other, then the configuration."""

    def __init__(self) -> None:
        self.answers: list[tango.DevFailed] = []

    def attribute_list_query_ex(self) -> list[Any]:
        if self.answers:
            raise self.answers.pop(0)
        return [INFO]

    def read_attributes(self, names: list[str]) -> list[Any]:
        return [VALUE for _ in names]

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    found = Device()
    monkeypatch.setattr(reader_module.tango, "DeviceProxy", lambda name: found)
    return found


@pytest.fixture
def reader() -> Iterator[Reader]:
    found = Reader()
    yield found
    found.close()


@pytest.mark.parametrize("kind", [tango.ConnectionFailed, tango.CommunicationFailed])
def test_after_a_lost_connection_it_is_read_again_or_not_at_all(
    device: Device, reader: Reader, kind: type[tango.DevFailed]
) -> None:
    device.answers = [failure(kind, "API_DeviceTimedOut")]
    assert reader.read([SOURCE], 60.0)[SOURCE].unit == "mm"
    reader._devices["a/b/c"].lost()
    device.answers = [failure(kind, "API_DeviceTimedOut") for _ in range(2)]
    seen = reader.read([SOURCE], 60.0)[SOURCE]
    assert (seen.value, seen.error) == (None, "it fails")
    assert reader.read([SOURCE], 60.0)[SOURCE].unit == "mm"


def test_else_the_dataset_has_a_warning(device: Device, reader: Reader) -> None:
    settings = Settings(
        configs={"saxs": (f"- {{name: position, source: {SOURCE}}}",)}, active_config="saxs", snapshot_timeout=60.0
    )
    device.answers = [failure(tango.DevFailed, "API_Refused") for _ in range(20)]
    seen = read_snapshot(reader, settings)
    assert seen.count == 1
    assert seen.failed == []
    assert "the units of a/b/c could not be read: it fails" in seen.problems
    device.answers = []
    assert read_snapshot(reader, settings).problems == []
