"""Python runs this first where its folder is on PYTHONPATH: the clock of the process is that of tests.faults.clock."""

import mmap
import os
import struct
import time
from collections.abc import Callable
from functools import partial


def _jump_with(path: str) -> None:
    with open(path, "rb") as file:
        offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)
    now = time.time

    def jumped() -> float:
        return float(now() + struct.unpack("d", offset[:8])[0])

    def split(read: Callable[[float], time.struct_time], seconds: float | None = None) -> time.struct_time:
        return read(jumped() if seconds is None else seconds)

    time.time = jumped
    time.time_ns = lambda: int(jumped() * 1e9)
    # Not functions: `logging` has the latter as an attribute of a class, where a function becomes a method.
    time.gmtime = partial(split, time.gmtime)
    time.localtime = partial(split, time.localtime)


if "SCIFISH_FAULTS_CLOCK" in os.environ:
    _jump_with(os.environ["SCIFISH_FAULTS_CLOCK"])
