"""A counter that fails after some points: for the demo and the tests."""

from sardana.pool.controller import DefaultValue, Description, Type
from sardana.pool.poolcontrollers.DummyCounterTimerController import DummyCounterTimerController


class FailingCounterTimerController(DummyCounterTimerController):
    """Like Sardana's dummy counter, but it fails after the number of points in its property `Points`."""

    ctrl_properties = {"Points": {Type: int, Description: "points that succeed", DefaultValue: 3}}

    def __init__(self, inst, props, *args, **kwargs):
        super().__init__(inst, props, *args, **kwargs)
        self._left = self.Points

    def StartOne(self, axis, value=None):
        if self._left <= 0:
            raise RuntimeError("the counter card has lost its link")
        self._left -= 1
        super().StartOne(axis, value)
