"""Macros for the tests of scans."""

import time

import numpy
from sardana.macroserver.macro import Macro, Type
from taurus import Device


class scitest_two(Macro):
    """Two scans, one after the other."""

    def run(self):
        for final in (1, 2):
            self.execMacro("ascan", "mot01", "0", final, "2", "0.05")


class scitest_nested(Macro):
    """A scan whose hook runs another scan at each point."""

    def run(self):
        outer, _ = self.createMacro("ascan", "mot01", "0", "1", "1", "0.05")
        outer.hooks = [(lambda: self.execMacro("timescan", "2", "0.05"), ["post-step"])]
        # Another group: that of the outer scan is prepared for it.
        self.setEnv("timescan.ActiveMntGrp", "mntgrp_alone")
        try:
            self.runMacro(outer)
        finally:
            self.unsetEnv("timescan.ActiveMntGrp")


class scitest_custom(Macro):
    """A scan with custom data before it, in it and after it."""

    def run(self):
        scan, _ = self.createMacro("ascan", "mot01", "0", "1", "1", "0.05")
        handler = scan._gScan.data_handler
        handler.addCustomData("before", "note", nxpath="sample:NXsample")
        scan.hooks = [(lambda: handler.addCustomData(numpy.arange(1000.0), "spectrum"), ["post-step"])]
        self.runMacro(scan)
        handler.addCustomData({"value": 0.5, "unit": "mm"}, "centre")


class scitest_spoil(Macro):
    """As an abort leaves a measurement group that comes while a scan subscribes to its channels; False undoes it."""

    param_def = [["yes", Type.Boolean, True, ""]]

    def run(self, yes):
        group = self.getMeasurementGroup(self.getEnv("ActiveMntGrp"))
        if yes:
            group.subscribeValueBuffer(nothing)
            return
        for info in group.getChannels():  # the group itself has forgotten which they were
            channel = Device(info["full_name"])
            channel.getValueBufferObj().unsubscribeEvent(group.valueBufferChanged, channel)


def nothing(channel, values):
    pass


class scitest_stuck(Macro):
    """A scan that hangs after its first point; so does the abort, until the macro is released."""

    param_def = [["seconds", Type.Float, 120.0, "how long it hangs at most"]]

    def run(self, seconds):
        scan, _ = self.createMacro("ascan", "mot01", "0", "1", "3", "0.05")
        scan.hooks = [(lambda: self._hang(seconds), ["post-step"])]
        self.runMacro(scan)

    def on_abort(self):
        self.output("on_abort hangs")
        self._hang(120.0)

    def _hang(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.02)
