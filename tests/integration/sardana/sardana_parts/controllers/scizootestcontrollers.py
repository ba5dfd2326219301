"""Controllers for the tests of scans: a motor that breaks down, and a counter that sees a peak."""

from sardana.pool.controller import DefaultValue, Description, Type
from sardana.pool.poolcontrollers.DummyCounterTimerController import DummyCounterTimerController
from sardana.pool.poolcontrollers.DummyMotorController import DummyMotorController


class FailingMotorController(DummyMotorController):
    """As Sardana's own dummy motor, until its property `Moves` have been made; then it fails."""

    ctrl_properties = {
        **DummyMotorController.ctrl_properties,
        "Moves": {Type: int, Description: "moves that succeed", DefaultValue: 3},
    }

    def __init__(self, inst, props, *args, **kwargs):
        super().__init__(inst, props, *args, **kwargs)
        self._left = self.Moves

    def StartOne(self, axis, pos):
        if self._left <= 0:
            raise RuntimeError("the motor has run into its switch")
        self._left -= 1
        super().StartOne(axis, pos)


class PeakCounterTimerController(DummyCounterTimerController):
    """Counts 10, 20, 50, 20, 10 and again, one after the other."""

    PEAK = (10.0, 20.0, 50.0, 20.0, 10.0)

    def __init__(self, inst, props, *args, **kwargs):
        super().__init__(inst, props, *args, **kwargs)
        self._counted = -1

    def StartOne(self, axis, value=None):
        self._counted += 1
        super().StartOne(axis, value)

    def ReadOne(self, axis):
        return self.PEAK[self._counted % len(self.PEAK)]
