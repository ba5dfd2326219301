"""A reader that is asked for ever new devices, as SciDog's is by its clients, keeps some of them only."""

from __future__ import annotations

import pytest
import tango

from scifish.attributes import reader as reader_module
from scifish.attributes.reader import Reader
from tests.waiting import PATIENCE


def test_ever_new_devices_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_device(name: str) -> None:
        error = tango.DevError()
        error.reason, error.desc = "DB_DeviceNotDefined", f"there is no {name}"
        raise tango.DevFailed(error)

    monkeypatch.setattr(reader_module, "MAX_KNOWN_DEVICES", 3)
    monkeypatch.setattr(tango, "DeviceProxy", no_device)
    reader = Reader()
    sources = [f"a/b/{number}/x" for number in range(20)]
    took: dict[str, float | None] = {}
    readings = reader.read(sources, PATIENCE, took)  # more at a time than it keeps
    assert [readings[source].error for source in sources] == [f"there is no a/b/{number}" for number in range(20)]
    assert len(took) == 20
    assert len(reader._devices) == 3
    reader.close()
