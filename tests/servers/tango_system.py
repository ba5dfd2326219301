"""A Tango control system of a test's own: its database, and device servers as real processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tango

from deploy.demo.processes import Processes
from deploy.demo.stack import Stack
from tests import ran_on
from tests.servers.cpp_database import CppStack, cpp_programs, versions, why_not
from tests.waiting import PATIENCE

CHOICE = "SCIZOO_TEST_TANGO_DATABASE"
"""Environment variable: `cpp` for the C++ database on MariaDB, or `pytango-db`, in all tests that can have both."""

FACILITY = "as at facilities"
"""The C++ database where it can be had, else pytango-db."""


@contextmanager
def control_system(folder: Path, database: str | None = None) -> Iterator[Stack]:
    """A stack with a running database: `cpp`, or the one that `CHOICE` says, else FACILITY or pytango-db."""
    with pytest.MonkeyPatch.context() as patch, Processes(folder / "logs") as processes:
        patch.setenv("TANGO_HOST", os.environ.get("TANGO_HOST", ""))  # put back afterwards
        if database != "cpp":
            database = os.environ.get(CHOICE) or database or "pytango-db"
        stack = _stack(folder, processes, database)
        stack.start_database()
        yield stack


def _stack(folder: Path, processes: Processes, database: str) -> Stack:
    if database == FACILITY:
        reason = why_not()
        database = "pytango-db" if reason else "cpp"
        if reason:
            ran_on.remarks.add(f"pytango-db in place of the C++ Tango database ({reason})")
    if database == "pytango-db":
        ran_on.servers.add("pytango-db")
        return Stack(folder, processes)
    assert database == "cpp", f"{CHOICE} is one of cpp, pytango-db; and not {database!r}"
    reason = why_not()
    if reason:
        pytest.skip(f"no C++ Tango database: {reason}")
    ran_on.servers.add(versions())
    return CppStack(folder, processes, cpp_programs())


def patient(device: str) -> tango.DeviceProxy:
    """A client of the device, given by its full name, that waits as a test does, and not for three seconds."""
    proxy = tango.DeviceProxy(device)
    proxy.ping()  # setting the time-out of one that is not connected connects it with the interpreter's lock held
    proxy.set_timeout_millis(int(PATIENCE * 1000))
    return proxy


def refusal(error: pytest.ExceptionInfo[tango.DevFailed]) -> tuple[str, str]:
    """Reason and text of what the device itself said."""
    return error.value.args[0].reason, error.value.args[0].desc


class Events:
    """Change events of a device, as (attribute, value), until `close`."""

    def __init__(self, proxy: tango.DeviceProxy, *attributes: str) -> None:
        self.seen: list[tuple[str, object]] = []
        self._proxy = proxy
        self._ids = [proxy.subscribe_event(name, tango.EventType.CHANGE_EVENT, self._on_event) for name in attributes]
        self.seen.clear()  # what each subscription begins with

    def close(self) -> None:
        for number in self._ids:
            self._proxy.unsubscribe_event(number)

    def _on_event(self, event: tango.EventData) -> None:
        self.seen.append((event.attr_name.rpartition("/")[2].lower(), event.errors or event.attr_value.value))
