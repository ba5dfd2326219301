"""Tango devices for tests of the snapshot: `python -m tests.servers.attribute_kinds INSTANCE`.

`Kinds` has an attribute of every kind; of `Plain` there can be many; `Counts` changes its values.
"""

from __future__ import annotations

import enum
import io
import json
import sys
import time

import numpy as np
from PIL import Image
from tango import AttrQuality, AttrWriteType, DevState, Except, MultiAttrProp
from tango.server import Device, attribute, command, device_property, run


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


def picture(kind: str, size: int) -> bytes:
    """A square picture of noise, which no format makes small."""
    noise = np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format=kind)
    return buffer.getvalue()


def _sent(text: str) -> str:
    """The text as a C++ or Java program sends it, whose texts are UTF-8: PyTango itself sends Latin-1."""
    return text.encode("utf-8").decode("latin-1")


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
        self.set_status("Kammer 3 k\u00fchlt auf 4 \u00b0C")  # PyTango sends a Status as UTF-8

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
        return "raw", bytes(8)

    @attribute(dtype="DevEncoded")
    def Json(self) -> tuple[str, bytes]:
        inner = '{"gain": {"value": 2.5, "unit": "dB"}, "label": "R\u00f6ntgen", "list": [1, 2], "none": {}}'
        return "JSON", inner.encode("utf-8")

    @attribute(dtype="DevEncoded")
    def BrokenJson(self) -> tuple[str, bytes]:
        return "json", b'{"a": '

    @attribute(dtype="DevEncoded")
    def DeepJson(self) -> tuple[str, bytes]:
        return "json", b"[" * 50_000

    @attribute(dtype="DevEncoded")
    def LargeJson(self) -> tuple[str, bytes]:
        return "json", json.dumps({str(number): number for number in range(1001)}).encode()

    @attribute(dtype="DevEncoded")
    def SmallPng(self) -> tuple[str, bytes]:
        return "png", picture("PNG", 4)

    @attribute(dtype="DevEncoded")
    def LargeJpeg(self) -> tuple[str, bytes]:
        return "JPEG_RGB24", picture("JPEG", 1500)

    @attribute(dtype="DevEncoded")
    def CutJpeg(self) -> tuple[str, bytes]:
        return "jpeg", picture("JPEG", 1500)[:70_000]

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

    @attribute(dtype=((np.uint16,),), max_dim_x=100, max_dim_y=100)
    def Picture(self) -> np.ndarray:
        return np.arange(10_000, dtype=np.uint16).reshape(100, 100)

    @attribute(dtype=str)
    def Utf8(self) -> str:
        return _sent("R\u00f6ntgen 25 \u00b0C \u03bb")

    @attribute(dtype=(str,), max_dim_x=2)
    def Utf8Texts(self) -> list[str]:
        return [_sent("R\u00f6ntgen"), "Malm\u00f6"]

    @attribute(dtype=str)
    def Utf8Error(self) -> str:
        # PyTango sends an error's text as UTF-8.
        Except.throw_exception("Kinds_Hot", "25 \u00b0C is too hot for the \u03bb plate", "Kinds")
        return ""

    @attribute(dtype=str)
    def NoText(self) -> str:
        return ""

    @attribute(dtype=float)
    def Invalid(self) -> tuple[float, float, AttrQuality]:
        return 1.0, time.time(), AttrQuality.ATTR_INVALID

    @attribute(dtype=float)
    def Alarm(self) -> tuple[float, float, AttrQuality]:
        return 2.0, 1_700_000_000.0, AttrQuality.ATTR_ALARM

    @attribute(dtype=float, unit="\u00b5m")
    def Forwardable(self) -> float:
        return 5.0

    @attribute(dtype=float)
    def Changing(self) -> tuple[float, float, AttrQuality]:
        return 3.0, time.time(), AttrQuality.ATTR_CHANGING

    WriteOnly = attribute(dtype=float, access=AttrWriteType.WRITE)

    def write_WriteOnly(self, value: float) -> None:
        self._written = value

    @attribute(dtype=float, polling_period=200)
    def Polled(self) -> float:
        return 4.0


class Forwards(Device):
    """`Forwarded` is another device's attribute: the one in its property `__root_att`."""

    Forwarded = attribute(name="Forwarded", label="Forwarded", forwarded=True)


class Plain(Device):
    """Ten attributes as a beamline's devices have them. `Delay`: seconds that each takes to read."""

    Delay = device_property(dtype=float, default_value=0.0)

    for _number in range(6):
        locals()[f"Value{_number}"] = attribute(dtype=float, unit="mm", fget="_value")

    def _wait(self) -> None:
        if self.Delay:
            time.sleep(self.Delay)

    def _value(self) -> float:
        self._wait()
        return 1.5

    @attribute(dtype=Colour)
    def Enum(self) -> Colour:
        self._wait()
        return Colour.GREEN

    @attribute(dtype=bool)
    def Switch(self) -> bool:
        self._wait()
        return True

    @attribute(dtype=str)
    def Text(self) -> str:
        self._wait()
        return "in"

    @attribute(dtype=(float,), max_dim_x=16)
    def Spectrum(self) -> list[float]:
        self._wait()
        return [0.5] * 16


PLAIN = (*(f"Value{number}" for number in range(6)), "Enum", "Switch", "Text", "Spectrum")
"""The attributes of `Plain`."""


class Versions(Device):
    """Its properties, which stand for the version of its program, decide the unit and the labels of its attributes."""

    Unit = device_property(dtype=str, default_value="mm")
    Labels = device_property(dtype=(str,), default_value=("Cu", "Ni"))

    def initialize_dynamic_attributes(self) -> None:
        self._add_position(self.Unit)
        labels = list(self.Labels)
        self.add_attribute(attribute(name="Material", dtype="DevEnum", enum_labels=labels, fget=self._material))

    def _add_position(self, unit: str) -> None:
        self.add_attribute(attribute(name="Position", dtype=float, unit=unit, fget=self._position))

    def _position(self, _: attribute) -> float:
        return 1.5

    def _material(self, _: attribute) -> int:
        return 1

    @command
    def Rebuild(self, unit: str) -> None:
        self.remove_attribute("Position")
        self._add_position(unit)
        properties = MultiAttrProp()
        properties.unit = unit  # the class remembers the first one
        self.get_device_attr().get_attr_by_name("Position").set_properties(properties)


class Counts(Device):
    """`Pushed` sends a change event for each value it is given, `Quiet` has to be polled for."""

    def init_device(self) -> None:
        super().init_device()
        self.set_change_event("Pushed", True, False)
        self._pushed, self._quiet = 1.0, 1.0
        self._quality = AttrQuality.ATTR_VALID
        self._reads = 0

    @attribute(dtype=float)
    def Pushed(self) -> tuple[float, float, AttrQuality]:
        return self._pushed, time.time(), self._quality

    @Pushed.write
    def Pushed(self, value: float) -> None:
        self._pushed, self._quality = value, AttrQuality.ATTR_VALID
        self.push_change_event("Pushed", value)

    @command
    def PushUseless(self) -> None:
        self.push_change_event("Pushed", float("nan"))
        self._quality = AttrQuality.ATTR_INVALID
        self.push_change_event("Pushed", 99.0, time.time(), self._quality)

    @command
    def PushMany(self, count: int) -> None:
        for number in range(count):
            self.push_change_event("Pushed", float(number))

    @attribute(dtype=float)
    def Quiet(self) -> float:
        self._reads += 1
        return self._quiet

    @Quiet.write
    def Quiet(self, value: float) -> None:
        self._quiet = value

    @attribute(dtype=int)
    def Reads(self) -> int:
        return self._reads

    @attribute(dtype=int)
    def Count(self) -> int:
        return 3

    @attribute(dtype=str)
    def Text(self) -> str:
        return "in"

    @attribute(dtype=bool)
    def Switch(self) -> bool:
        return True

    @attribute(dtype=Colour)
    def Enum(self) -> Colour:
        return Colour.GREEN

    @attribute(dtype=(float,), max_dim_x=4)
    def Spectrum(self) -> list[float]:
        return [1.0, 2.0]


if __name__ == "__main__":
    run((Kinds, Forwards, Plain, Versions, Counts), args=["Kinds", *sys.argv[1:]])
