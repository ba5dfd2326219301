"""A Tango device with every kind of attribute: `python -m tests.kinds INSTANCE`."""

from __future__ import annotations

import enum
import sys
import time

import numpy as np
from tango import AttrQuality, AttrWriteType, DevState
from tango.server import Device, attribute, run


class Colour(enum.IntEnum):
    RED = 0
    GREEN = 1


SCALARS = {
    "DevBoolean": True,
    "DevUChar": 200,
    "DevShort": -3,
    "DevUShort": 60_000,
    "DevLong": -100_000,
    "DevULong": 4_000_000_000,
    "DevLong64": -(2**60),
    "DevULong64": 2**63,
    "DevFloat": 0.5,
    "DevDouble": 1e-300,
    "DevString": "Malm\u00f6",
}


def _constant(kind: str) -> attribute:
    def read(self: Device) -> object:
        return SCALARS[kind]

    del read.__annotations__["return"]  # PyTango would take it for the attribute's type
    return attribute(dtype=kind, fget=read)


class Kinds(Device):
    """Attributes named after what is special about them."""

    def init_device(self) -> None:
        super().init_device()
        self.set_state(DevState.MOVING)

    for _kind in SCALARS:  # in a class body, `locals` is what the class will have
        locals()[f"a{_kind}"] = _constant(_kind)

    @attribute(dtype=float, unit="No unit")
    def NotANumber(self) -> float:
        return float("nan")

    @attribute(dtype=float, unit="mm")
    def Infinite(self) -> float:
        return float("-inf")

    @attribute(dtype=Colour)
    def Enum(self) -> Colour:
        return Colour.GREEN

    @attribute(dtype=(Colour,), max_dim_x=3)
    def EnumSpectrum(self) -> list[Colour]:
        return [Colour.GREEN, Colour.RED]

    @attribute(dtype=DevState)
    def Gate(self) -> DevState:
        return DevState.OPEN

    @attribute(dtype=(DevState,), max_dim_x=3)
    def Gates(self) -> list[DevState]:
        return [DevState.OPEN, DevState.FAULT]

    @attribute(dtype="DevEncoded")
    def Encoded(self) -> tuple[str, bytes]:
        return "json", b'{"a": 1}'

    @attribute(dtype=(float,), max_dim_x=100)
    def Short(self) -> list[float]:
        return [1.0, float("nan")]

    @attribute(dtype=(float,), max_dim_x=100)
    def Empty(self) -> list[float]:
        return []

    @attribute(dtype=(str,), max_dim_x=100)
    def Texts(self) -> list[str]:
        return ["a", ""]

    @attribute(dtype=((bool,),), max_dim_x=2, max_dim_y=2)
    def Mask(self) -> np.ndarray:
        return np.array([[True, False], [False, True]])

    @attribute(dtype=str)
    def NoText(self) -> str:
        return ""

    @attribute(dtype=float)
    def Invalid(self) -> tuple[float, float, AttrQuality]:
        return 1.0, time.time(), AttrQuality.ATTR_INVALID

    @attribute(dtype=float)
    def Alarm(self) -> tuple[float, float, AttrQuality]:
        return 2.0, 1_700_000_000.0, AttrQuality.ATTR_ALARM

    @attribute(dtype=float)
    def Changing(self) -> tuple[float, float, AttrQuality]:
        return 3.0, time.time(), AttrQuality.ATTR_CHANGING

    WriteOnly = attribute(dtype=float, access=AttrWriteType.WRITE)

    def write_WriteOnly(self, value: float) -> None:
        self._written = value

    @attribute(dtype=float, polling_period=200)
    def Polled(self) -> float:
        return 4.0


if __name__ == "__main__":
    run((Kinds,), args=["Kinds", *sys.argv[1:]])
