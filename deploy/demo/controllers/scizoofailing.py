"""A counter that breaks down after some points: for the demo and the tests."""

from sardana.pool.controller import DefaultValue, Description, Type
from sardana.pool.poolcontrollers.DummyCounterTimerController import DummyCounterTimerController


class FailingCounterTimerController(DummyCounterTimerController):
    """As Sardana's own dummy counter, until its property `Points` have been counted; then it fails."""

    ctrl_properties = {"Points": {Type: int, Description: "points that succeed", DefaultValue: 3}}

    def __init__(self, inst, props, *args, **kwargs):
        super().__init__(inst, props, *args, **kwargs)
        self._left = self.Points

    def StartOne(self, axis, value=None):
        if self._left <= 0:
            raise RuntimeError("the counter card has lost its link")
        self._left -= 1
        super().StartOne(axis, value)
