"""A Sardana whose Door we drive, with a SciDog that has our configurations."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import tango
from taurus.core.util.codecs import CodecFactory

from deploy.demo.door import Door
from deploy.demo.session import make_elements
from deploy.demo.stack import DOOR, MACROSERVER, SCIDOG, Stack
from tests.benchmarks.figures import NotMeasured

RECORDER = "SciFishRecorder"
NULL_RECORDER = "NullRecorder"


class Scans:
    """Scans at one Door, with and without recorder."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._complaints: list[str] = []
        self.door = Door(stack.name(DOOR), self._hear)
        self._macroserver = tango.DeviceProxy(stack.name(MACROSERVER))
        make_elements(self.door)

    def use_recorder(self, name: str = "", prescan: Sequence[tuple[str, str]] = ()) -> None:
        """DataRecorder and PreScanSnapshot in Sardana's environment, as a GUI sets them."""
        environment = {"DataRecorder": [name] if name else [], "PreScanSnapshot": list(prescan)}
        encoded = CodecFactory().getCodec("pickle").encode(("", {"new": environment}))
        self._macroserver.write_attribute("Environment", encoded)

    def use_configuration(self, name: str) -> None:
        """As somebody in jive."""
        self._stack.db.put_device_property(SCIDOG, {"ActiveConfig": [name]})

    def duration(self, *words: str, timeout: float = 60.0) -> float:
        """Seconds of a whole macro as a client of the Door sees it, from the command to the end."""
        start = time.perf_counter()
        self.door.run(*words, timeout=timeout)
        return time.perf_counter() - start

    def check(self) -> None:
        """NotMeasured if SciFish has complained at the Door: it is then not what it is on a good day."""
        if self._complaints:
            raise NotMeasured(f"SciFish said at the Door: {self._complaints[0]}")

    def _hear(self, level: str, line: str) -> None:
        if "SciFish" in line and level in ("warning", "error", "critical"):
            self._complaints.append(line)


@contextmanager
def scans(stack: Stack) -> Iterator[Scans]:
    """Of a Sardana that runs already."""
    found = Scans(stack)
    try:
        yield found
    finally:
        found.door.close()


def start_scidog(stack: Stack, kafka: str, configurations: Mapping[str, Sequence[str]]) -> None:
    """A SciDog whose configurations are these and no others; the first is active."""
    ours = {name: lines for name, lines in stack.scidog_properties(kafka).items() if not name.startswith("Config.")}
    ours |= {f"Config.{name}": lines for name, lines in configurations.items()}
    ours["ActiveConfig"] = [next(iter(configurations))]
    stack.start_server("SciDog/demo", {SCIDOG: ("SciDog", ours)})


def start_sardana(stack: Stack) -> None:
    """As the demo's, with the null recorder beside ours."""
    stack.recorder_folders.append(str(Path(__file__).with_name("recorders")))
    stack.start_sardana()
