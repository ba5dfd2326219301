"""The editor of SciDog on a Tango database with 100,000 attributes, and on a configuration of 1,000 entries.

    python -m tests.benchmarks.scidog_editor

A real SciDog, and one server with 1,000 devices of 100 attributes each. The editor is the real window, drawn offscreen
in this process. A time ends when what it is about is on the screen.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded

import tango
from tango import DevState
from tango.server import Device, attribute, run

from deploy.demo.stack import SCIDOG, Stack
from scifish.tango_io.database import TangoDatabase
from taurus_widgets.qt.application import makeApplication
from taurus_widgets.scidog.window import ScidogEditor
from tests.benchmarks.figures import Figure, alone, progress, scratch
from tests.benchmarks.scanlog import Frames, idle, wait
from tests.servers.tango_system import control_system, patient

SERVER, DOMAINS, DEVICES, ATTRIBUTES = "BenchMany", 20, 1000, 100
ENTRIES = 1000
TEXTS = ("channel01", "device-0123 channel4*", "*7", "d05/ins/*/channel99", "nothing of this name", "state")
"""What is searched: many hits, few, wildcards, and none."""


def _number(number: int) -> attribute:
    return attribute(name=f"Channel{number:02}", dtype=float, unit="mA", fget=lambda self: float(number))


class Many(Device):
    """An instrument with `ATTRIBUTES` attributes, of which two are its State and Status."""

    def init_device(self) -> None:
        super().init_device()
        self.set_state(DevState.ON)

    for _place in range(ATTRIBUTES - 2):
        locals()[f"channel_{_place}"] = _number(_place)


def names() -> list[str]:
    return [f"d{number % DOMAINS:02}/ins/device-{number:04}" for number in range(DEVICES)]


def start_devices(stack: Stack) -> None:
    db = stack.db
    for name in names():
        info = tango.DbDevInfo()
        info.server, info._class, info.name = f"{SERVER}/bench", "Many", name
        db.add_device(info)
    program = [sys.executable, "-m", "tests.benchmarks.scidog_editor", "--serve"]
    stack.run_server(f"{SERVER}/bench", names()[-1:], program, timeout=600)


def configuration() -> list[str]:
    """`ENTRIES` entries of a hundred devices."""
    return [
        f"- {{name: {device.rpartition('/')[2]} {number}, source: {device}/Channel{number:02}, group: {device[:3]}}}"
        for device in names()[: ENTRIES // 10]
        for number in range(10)
    ]


def timed(call: Callable[[], object], reached: Callable[[], bool], what: str) -> float:
    begin = time.perf_counter()
    call()
    return wait(reached, what) - begin


def measure() -> list[Figure]:
    with scratch("scidog") as folder, control_system(folder, "pytango-db") as stack:
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        progress(f"starting {DEVICES} devices")
        start_devices(stack)
        stack.start_scidog("127.0.0.1:9092")
        stack.db.put_device_property(SCIDOG, {"Config.many": configuration(), "ActiveConfig": ["saxs"]})
        patient(stack.name(SCIDOG)).Reload()
        app = makeApplication()
        editor = ScidogEditor()
        editor.resize(1280, 800)
        try:
            return _figures(editor, stack)
        finally:
            editor._suspend()
            del app


def _figures(editor: ScidogEditor, stack: Stack) -> list[Figure]:
    browser, session, frames = editor.browser, editor.session, Frames()
    progress("opening the tree")
    opened = timed(lambda: browser.open(stack.name("")), lambda: browser.model.rowCount() >= DOMAINS, "the tree")
    editor.show()
    again = []
    for _ in range(5):
        again.append(
            timed(lambda: browser.open(stack.name("")), lambda: browser.model.rowCount() >= DOMAINS, "the tree")
        )
    index = browser.index
    begin = time.perf_counter()
    while index.asked < index.to_ask or not index.to_ask:
        idle(0.2)
        progress(f"asking the devices: {index.asked} of {index.to_ask}")
    filled = time.perf_counter() - begin
    editor.setDevice(stack.name(SCIDOG))
    wait(lambda: editor.draft is not None, "SciDog")
    progress(f"searching {index.count} attributes")
    times, longest = [], 0.0
    for text in TEXTS:
        browser.search.clear()
        idle(0.3)
        frames.begin()
        before = browser.state.text()
        times.append(
            timed(lambda text=text: browser.search.setText(text), lambda b=before: browser.state.text() != b, text)  # type: ignore[misc]
        )
        longest = max(longest, frames.longest)
    db = TangoDatabase(stack.tango_host)
    begin = time.perf_counter()
    db.device_names("*device-0123*")
    wildcard = time.perf_counter() - begin
    browser.search.clear()
    progress("1,000 entries")
    frames.begin()
    live = timed(lambda: editor.choose("many"), lambda: len(session.live) == ENTRIES, "the values")
    first = frames.longest
    frames.begin()
    moment = session.liveTime
    wait(lambda: session.liveTime != moment, "the next values")
    return [
        Figure(
            "scidog_tree_open_s",
            round(statistics.median(again), 4),
            "s",
            {"first": round(opened, 3), "devices": len(browser.names.devices), "all_devices_asked_s": round(filled, 1)},
        ),
        Figure(
            "scidog_search_s",
            round(max(times), 4),
            "s",
            {
                "median": round(statistics.median(times), 4),
                "attributes": index.count,
                "longest_frame_s": round(longest, 4),
                "server_side_wildcard_s": round(wildcard, 4),
            },
        ),
        Figure(
            "scidog_1000_entries_live_s",
            round(live, 3),
            "s",
            {
                "not_read": sum(bool(value.error) for value in session.live.values()),
                "longest_frame_s": round(first, 3),
                "longest_frame_of_an_update_s": round(frames.longest, 3),
            },
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.serve:
        run((Many,), args=[SERVER, *rest])
    else:
        alone(Path(__file__).stem, measure)
