"""A detector, as PathFixer sees one: a Tango device with an attribute for the path of its data."""

from __future__ import annotations

import time

import tango
from tango.server import Device, attribute, device_property, run


class Detector(Device):
    """It loses its FilePath at a restart; it may be slow, refuse, or show the path differently."""

    Delay = device_property(dtype=float, default_value=0.0, doc="Seconds that each write takes")
    Refuses = device_property(dtype=bool, default_value=False, doc="Whether it takes no path")
    Slash = device_property(dtype=bool, default_value=False, doc="Whether it shows the path with a slash at the end")

    def init_device(self) -> None:
        super().init_device()
        self._path = ""
        self._written = 0

    FilePath = attribute(dtype=str, access=tango.AttrWriteType.READ_WRITE)
    Written = attribute(dtype=int)

    def read_FilePath(self) -> str:
        return self._path

    def write_FilePath(self, path: str) -> None:
        time.sleep(self.Delay)
        if self.Refuses:
            tango.Except.throw_exception("Detector_Busy", "it is armed", "Detector")
        self._path = f"{path}/" if self.Slash else path
        self._written += 1

    def read_Written(self) -> int:
        return self._written


if __name__ == "__main__":
    run((Detector,))
