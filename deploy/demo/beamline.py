"""A small simulated beamline: eight Tango devices with forty attributes, for the demo and the tests.

Run it as `python -m deploy.demo.beamline INSTANCE` after `register` has added its devices to the Tango database. It
includes errors that metadata must survive: an attribute that always fails (`Flux` of the beam viewer), and a device
that the database lists as running although nothing answers at its address (the picoammeter).
"""

from __future__ import annotations

import enum
import math
import random
import sys
import time
from dataclasses import dataclass

import numpy as np
import tango
from tango import AttrWriteType, DevState
from tango.server import Device, attribute, command, run

SERVER = "SimBeamline"

BUNCHES = 176
IMAGE_SHAPE = (120, 160)  # rows, columns
H_C = 12.398419843320026  # keV * angstrom
D_SPACING = {"Si111": 3.1356, "Si311": 1.6375}  # angstrom, silicon at 20 C


class OperationMode(enum.IntEnum):
    SHUTDOWN = 0
    INJECTION = 1
    DELIVERY = 2


class Crystal(enum.IntEnum):
    Si111 = 0
    Si311 = 1


class HeaterMode(enum.IntEnum):
    OFF = 0
    MANUAL = 1
    AUTO = 2


class CurrentRange(enum.IntEnum):
    PICO = 0
    NANO = 1
    MICRO = 2


def drifting(middle: float, swing: float, period: float, noise: float = 0.0) -> float:
    """A value that varies around `middle`, by at most `swing` in a `period` of seconds, with Gaussian noise."""
    angle = 2 * math.pi * time.time() / period
    # Periods without a common multiple, so that the sum does not look like a sine.
    wander = 0.6 * math.sin(angle) + 0.4 * math.sin(2.618 * angle + middle)
    return middle + swing * wander + random.gauss(0.0, noise)


class StorageRing(Device):
    """The ring's current and the control room's message: top-up every five minutes."""

    TOP_UP = 300.0  # s
    STORED = 400.0  # mA, just after top-up
    DECAY = 36_000.0  # s

    def init_device(self) -> None:
        super().init_device()
        self.set_state(DevState.ON)

    def _current(self) -> float:
        return self.STORED * math.exp(-(time.time() % self.TOP_UP) / self.DECAY)

    @attribute(dtype=float, unit="mA", format="%.3f", doc="Electron current in the ring")
    def InstantaneousCurrent(self) -> float:
        return self._current() + random.gauss(0.0, 0.02)

    @attribute(dtype=float, unit="h", format="%.2f", doc="Lifetime of the stored beam")
    def Lifetime(self) -> float:
        return drifting(self.DECAY / 3600, 0.4, 900, 0.02)

    @attribute(dtype=(float,), max_dim_x=BUNCHES, unit="mA", doc="Current of each bunch")
    def FillPattern(self) -> np.ndarray:
        buckets = np.arange(BUNCHES)
        filled = np.where(buckets < 0.9 * BUNCHES, 1.0 + 0.03 * np.sin(buckets / 7.0), 0.0)
        return np.asarray(filled * self._current() / filled.sum())

    @attribute(dtype=str, doc="What the operators tell the beamlines")
    def OperatorMessage(self) -> str:
        return "Delivery. Machine day on Monday from 06:00. Tunnel at 21.5 °C."

    @attribute(dtype=bool, doc="Whether top-up injection is on")
    def TopUp(self) -> bool:
        return True

    @attribute(dtype=OperationMode, doc="What the ring does")
    def OperationMode(self) -> OperationMode:
        return OperationMode.DELIVERY


class BeamShutter(Device):
    """The safety shutter. States OPEN and CLOSE."""

    def init_device(self) -> None:
        super().init_device()
        self._openings = 12_041
        self._last_opened = time.time() - 3600
        self.set_state(DevState.OPEN)

    @attribute(dtype=bool, doc="Whether the personnel safety system lets it open")
    def Permit(self) -> bool:
        return True

    @attribute(dtype=int, doc="How often it has been opened")
    def Openings(self) -> int:
        return self._openings

    @attribute(dtype=str, doc="When it was opened last, local time")
    def LastOpened(self) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._last_opened))

    @command
    def Open(self) -> None:
        if self.get_state() != DevState.OPEN:
            self._openings += 1
            self._last_opened = time.time()
        self.set_state(DevState.OPEN)

    @command
    def Close(self) -> None:
        self.set_state(DevState.CLOSE)


class VacuumValve(Device):
    """A gate valve between two vacuum sections. States OPEN and CLOSE."""

    def init_device(self) -> None:
        super().init_device()
        self.set_state(DevState.OPEN)

    @attribute(dtype=float, unit="mbar", format="%.2e", doc="Pressure before the valve")
    def PressureUpstream(self) -> float:
        return drifting(2.1e-9, 2e-10, 700, 2e-12)

    @attribute(dtype=float, unit="mbar", format="%.2e", doc="Pressure behind the valve")
    def PressureDownstream(self) -> float:
        return drifting(4.4e-8, 6e-9, 500, 5e-11)

    @attribute(dtype=bool, doc="Whether the interlock of the vacuum is fine")
    def InterlockOk(self) -> bool:
        return True

    @command
    def Open(self) -> None:
        self.set_state(DevState.OPEN)

    @command
    def Close(self) -> None:
        self.set_state(DevState.CLOSE)


def _blades(doc: str, lowest: float) -> attribute:
    """A position that stays where it was last set, within a micrometre."""

    def read(self: Slits) -> float:
        return self.places[blades.attr_name] + random.gauss(0.0, 2e-4)

    def write(self: Slits, place: float) -> None:
        self.places[blades.attr_name] = place

    blades = attribute(
        dtype=float,
        access=AttrWriteType.READ_WRITE,
        unit="mm",
        format="%.4f",
        min_value=lowest,
        max_value=20.0,
        fget=read,
        fset=write,
        doc=doc,
    )
    return blades


class Slits(Device):
    """Four blades, as gap and offset of each plane."""

    PLACES = {"HorizontalGap": 0.8, "HorizontalOffset": 0.02, "VerticalGap": 0.5, "VerticalOffset": -0.11}

    def init_device(self) -> None:
        super().init_device()
        self.places = dict(self.PLACES)
        self.set_state(DevState.ON)

    HorizontalGap = _blades("Opening in the horizontal plane", 0.0)
    HorizontalOffset = _blades("Centre in the horizontal plane", -20.0)
    VerticalGap = _blades("Opening in the vertical plane", 0.0)
    VerticalOffset = _blades("Centre in the vertical plane", -20.0)


class Monochromator(Device):
    """A double-crystal monochromator; energy, angle and wavelength are linked by Bragg's law."""

    def init_device(self) -> None:
        super().init_device()
        self._energy = 12.4
        self._crystal = Crystal.Si111
        self.set_state(DevState.ON)

    @attribute(dtype=float, unit="keV", format="%.4f", min_value=4.0, max_value=20.0, doc="Photon energy")
    def Energy(self) -> float:
        return self._energy

    @Energy.write
    def Energy(self, energy: float) -> None:
        self._energy = energy

    @attribute(dtype=float, unit="deg", format="%.4f", doc="Angle of the first crystal")
    def BraggAngle(self) -> float:
        return math.degrees(math.asin(H_C / self._energy / (2 * D_SPACING[self._crystal.name])))

    @attribute(dtype=float, unit="Å", format="%.5f", doc="Wavelength of the photons")
    def Wavelength(self) -> float:
        return H_C / self._energy

    @attribute(dtype=Crystal, access=AttrWriteType.READ_WRITE, doc="Pair of crystals in the beam")
    def Crystal(self) -> Crystal:
        return self._crystal

    @Crystal.write
    def Crystal(self, crystal: int) -> None:
        self._crystal = Crystal(crystal)

    @attribute(dtype=float, unit="K", format="%.2f", doc="Temperature of the first crystal")
    def CrystalTemperature(self) -> float:
        return drifting(92.4, 0.3, 240, 0.02)

    @attribute(dtype=float, unit="V", format="%.3f", doc="Voltage of the pitch piezo of the second crystal")
    def PitchPiezo(self) -> float:
        return drifting(4.7, 0.5, 60, 0.01)

    @attribute(dtype=bool, doc="Whether the intensity feedback acts on the pitch piezo")
    def Feedback(self) -> bool:
        return True


class TemperatureController(Device):
    """Three thermometers and a heater at the sample."""

    TIME_CONSTANT = 20.0  # s, of the sample following the set point

    def init_device(self) -> None:
        super().init_device()
        self._from = 293.15
        self._setpoint = 293.15
        self._since = time.monotonic()
        self._mode = HeaterMode.AUTO
        self.set_state(DevState.ON)

    def _sample(self) -> float:
        gone = math.exp(-(time.monotonic() - self._since) / self.TIME_CONSTANT)
        return self._setpoint + (self._from - self._setpoint) * gone

    @attribute(dtype=float, unit="K", format="%.3f", doc="Sample holder")
    def T1(self) -> float:
        return self._sample() + random.gauss(0.0, 0.005)

    @attribute(dtype=float, unit="K", format="%.3f", doc="Cold finger")
    def T2(self) -> float:
        return 0.9 * self._sample() + drifting(5.0, 0.4, 120, 0.01)

    @attribute(dtype=float, unit="K", format="%.3f", doc="Radiation shield")
    def T3(self) -> float:
        return drifting(295.2, 0.8, 1800, 0.02)

    @attribute(dtype=float, unit="K", format="%.3f", min_value=4.0, max_value=600.0, doc="Set point of the loop")
    def SetPoint(self) -> float:
        return self._setpoint

    @SetPoint.write
    def SetPoint(self, setpoint: float) -> None:
        self._from = self._sample()
        self._since = time.monotonic()
        self._setpoint = setpoint

    @attribute(dtype=float, unit="%", format="%.1f", doc="Power of the heater, of its range")
    def HeaterPower(self) -> float:
        return 0.0 if self._mode is HeaterMode.OFF else min(100.0, max(0.0, self._setpoint / 6 + drifting(0, 1, 30)))

    @attribute(dtype=HeaterMode, access=AttrWriteType.READ_WRITE, doc="How the heater is driven")
    def Mode(self) -> HeaterMode:
        return self._mode

    @Mode.write
    def Mode(self, mode: int) -> None:
        self._mode = HeaterMode(mode)

    @attribute(dtype=str, doc="Type and serial number of the thermometer T1")
    def Sensor(self) -> str:
        return "Cernox CX-1050 X142810"


class BeamViewer(Device):
    """A fluorescence screen with a camera."""

    def init_device(self) -> None:
        super().init_device()
        self._exposure = 0.05
        self._inserted = False
        self.set_state(DevState.ON)

    def _centre(self) -> tuple[float, float]:
        """Column and row of the spot, in pixels."""
        return drifting(82.0, 3.0, 40), drifting(57.0, 2.0, 55)

    @attribute(dtype=float, unit="s", min_value=0.001, max_value=10.0, doc="Exposure time of the camera")
    def ExposureTime(self) -> float:
        return self._exposure

    @ExposureTime.write
    def ExposureTime(self, exposure: float) -> None:
        self._exposure = exposure

    @attribute(dtype=bool, access=AttrWriteType.READ_WRITE, doc="Whether the screen is in the beam")
    def Inserted(self) -> bool:
        return self._inserted

    @Inserted.write
    def Inserted(self, inserted: bool) -> None:
        self._inserted = inserted

    @attribute(
        dtype=(("uint16",),),
        max_dim_x=IMAGE_SHAPE[1],
        max_dim_y=IMAGE_SHAPE[0],
        unit="counts",
        doc="The last picture: rows of columns, 12 bit",
    )
    def Image(self) -> np.ndarray:
        x, y = self._centre()
        rows, columns = np.indices(IMAGE_SHAPE)
        spot = 56_000 * self._exposure * np.exp(-((columns - x) ** 2 / (2 * 9.0**2) + (rows - y) ** 2 / (2 * 5.0**2)))
        return np.random.poisson(np.minimum(spot + 12, 4095)).clip(0, 4095).astype(np.uint16)

    @attribute(dtype=float, unit="px", format="%.2f", doc="Column of the spot's centre")
    def CentroidX(self) -> float:
        return self._centre()[0]

    @attribute(dtype=float, unit="px", format="%.2f", doc="Row of the spot's centre")
    def CentroidY(self) -> float:
        return self._centre()[1]

    @attribute(dtype=float, unit="ph/s", doc="Photon flux; always fails")
    def Flux(self) -> float:
        raise RuntimeError("The flux cannot be computed: the calibration of the screen has not been loaded")


class Picoammeter(Device):
    """Four channels of a quadrant monitor. In the demo its server is dead."""

    def init_device(self) -> None:
        super().init_device()
        self.set_state(DevState.ON)

    @attribute(dtype=float, unit="A", doc="Upper left")
    def Current1(self) -> float:
        return drifting(2.4e-9, 1e-10, 80, 1e-11)

    @attribute(dtype=float, unit="A", doc="Upper right")
    def Current2(self) -> float:
        return drifting(2.5e-9, 1e-10, 90, 1e-11)

    @attribute(dtype=float, unit="A", doc="Lower left and right")
    def Current3(self) -> float:
        return drifting(4.6e-9, 2e-10, 70, 1e-11)

    @attribute(dtype=CurrentRange, doc="Range of the amplifiers")
    def Range(self) -> CurrentRange:
        return CurrentRange.NANO


@dataclass(frozen=True)
class SimulatedDevice:
    name: str
    device_class: type[Device]


DEVICES = (
    SimulatedDevice("r3-319s2/dia/dcct-01", StorageRing),
    SimulatedDevice("b311a-o01/pss/bst-01", BeamShutter),
    SimulatedDevice("b311a-o/vac/valve-01", VacuumValve),
    SimulatedDevice("b311a-o/opt/slits-01", Slits),
    SimulatedDevice("b311a-o/opt/mono-01", Monochromator),
    SimulatedDevice("b311a-e/dia/lakeshore-01", TemperatureController),
    SimulatedDevice("b311a-e/dia/viewer-01", BeamViewer),
)
DEAD_DEVICE = SimulatedDevice("b311a-e/dia/picoammeter-01", Picoammeter)
FAILING_ATTRIBUTE = "b311a-e/dia/viewer-01/Flux"

# Port 9 is 'discard' (RFC 863), which today's machines do not serve: the connection is refused.
DEAD_ADDRESS = "corbaloc:iiop:1.2@127.0.0.1:9/picoammeter"

CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "beamline": (
        "# Recorded with every scan",
        "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, group: Machine, "
        "record: [start, end, statistics]}",
        "- {name: Lifetime, source: r3-319s2/dia/dcct-01/Lifetime, group: Machine}",
        "- {name: Fill pattern, source: r3-319s2/dia/dcct-01/FillPattern, group: Machine}",
        "- {name: Operator message, source: r3-319s2/dia/dcct-01/OperatorMessage, group: Machine}",
        "- {name: Top-up, source: r3-319s2/dia/dcct-01/TopUp, group: Machine, map: {true: on, false: off}}",
        "- {name: Mode, source: r3-319s2/dia/dcct-01/OperationMode, group: Machine}",
        "",
        "- {name: Safety shutter, source: b311a-o01/pss/bst-01/State, group: Front end, "
        "map: {OPEN: open, CLOSE: closed}}",
        "- {name: Shutter permit, source: b311a-o01/pss/bst-01/Permit, group: Front end}",
        "- {name: Shutter openings, source: b311a-o01/pss/bst-01/Openings, group: Front end}",
        "- {name: Shutter opened, source: b311a-o01/pss/bst-01/LastOpened, group: Front end}",
        "- {name: Valve, source: b311a-o/vac/valve-01/State, group: Vacuum, map: {OPEN: open, CLOSE: closed}}",
        "- {name: Pressure upstream, source: b311a-o/vac/valve-01/PressureUpstream, group: Vacuum}",
        "- {name: Pressure downstream, source: b311a-o/vac/valve-01/PressureDownstream, group: Vacuum}",
        "- {name: Vacuum interlock, source: b311a-o/vac/valve-01/InterlockOk, group: Vacuum, "
        "map: {true: fine, false: tripped}}",
        "",
        "- {name: Energy, source: b311a-o/opt/mono-01/Energy, group: Optics, record: [start, end]}",
        "- {name: Wavelength, source: b311a-o/opt/mono-01/Wavelength, group: Optics}",
        "- {name: Crystal, source: b311a-o/opt/mono-01/Crystal, group: Optics}",
        "- {name: Slit gap horizontal, source: b311a-o/opt/slits-01/HorizontalGap, unit: mm, group: Optics}",
        "- {name: Slit offset horizontal, source: b311a-o/opt/slits-01/HorizontalOffset, unit: mm, group: Optics}",
        "- {name: Slit gap vertical, source: b311a-o/opt/slits-01/VerticalGap, unit: mm, group: Optics}",
        "- {name: Slit offset vertical, source: b311a-o/opt/slits-01/VerticalOffset, unit: mm, group: Optics}",
    ),
    "saxs": (
        "# Small-angle scattering: the sample and the beam on it",
        "- {name: Sample temperature, source: b311a-e/dia/lakeshore-01/T1, unit: K, group: Sample environment, "
        "record: [start, end, statistics]}",
        "- {name: Cold finger, source: b311a-e/dia/lakeshore-01/T2, unit: K, group: Sample environment}",
        "- {name: Shield, source: b311a-e/dia/lakeshore-01/T3, unit: K, group: Sample environment}",
        "- {name: Set point, source: b311a-e/dia/lakeshore-01/SetPoint, unit: K, group: Sample environment}",
        "- {name: Heater, source: b311a-e/dia/lakeshore-01/HeaterPower, group: Sample environment}",
        "- {name: Heater mode, source: b311a-e/dia/lakeshore-01/Mode, group: Sample environment, "
        "map: {OFF: off, MANUAL: by hand, AUTO: closed loop}}",
        "- {name: Thermometer, source: b311a-e/dia/lakeshore-01/Sensor, group: Sample environment}",
        "- {name: Beam viewer, source: b311a-e/dia/viewer-01/Inserted, group: Diagnostics, "
        "map: {true: insert, false: extract}}",
        "- {name: Beam image, source: b311a-e/dia/viewer-01/Image, group: Diagnostics}",
        "- {name: Beam centre x, source: b311a-e/dia/viewer-01/CentroidX, group: Diagnostics}",
        "- {name: Beam centre y, source: b311a-e/dia/viewer-01/CentroidY, group: Diagnostics}",
        "- {name: Viewer exposure, source: b311a-e/dia/viewer-01/ExposureTime, group: Diagnostics}",
        "- {name: Flux, source: b311a-e/dia/viewer-01/Flux, group: Diagnostics}",
        "- {name: Quadrant 1, source: b311a-e/dia/picoammeter-01/Current1, group: Diagnostics}",
    ),
    "spectroscopy": (
        "# Absorption spectroscopy: the monochromator in detail, and the intensity monitors",
        "- {name: Bragg angle, source: b311a-o/opt/mono-01/BraggAngle, unit: deg, group: Optics, "
        "record: [start, end, statistics]}",
        "- {name: Crystal temperature, source: b311a-o/opt/mono-01/CrystalTemperature, unit: K, group: Optics}",
        "- {name: Pitch piezo, source: b311a-o/opt/mono-01/PitchPiezo, unit: V, group: Optics}",
        "- {name: Feedback, source: b311a-o/opt/mono-01/Feedback, group: Optics, map: {true: on, false: off}}",
        "- {name: Sample temperature, source: b311a-e/dia/lakeshore-01/T1, unit: K, group: Sample environment}",
        "- {name: Flux, source: b311a-e/dia/viewer-01/Flux, group: Diagnostics}",
        "- {name: Quadrant 1, source: b311a-e/dia/picoammeter-01/Current1, group: Diagnostics}",
        "- {name: Quadrant 2, source: b311a-e/dia/picoammeter-01/Current2, group: Diagnostics}",
        "- {name: Quadrant 3, source: b311a-e/dia/picoammeter-01/Current3, group: Diagnostics}",
        "- {name: Quadrant range, source: b311a-e/dia/picoammeter-01/Range, group: Diagnostics}",
    ),
}
"""Lines of SciDog's properties `Config.<name>`: `beamline` is always recorded, the others can be chosen."""


def register(db: tango.Database, instance: str = "demo") -> list[str]:
    """Add the devices to the database. Returns the names of all, the dead one last.

    The running ones belong to the server `SimBeamline/<instance>`, the dead one to `SimBeamline/<instance>-dead`, whose
    start makes it answer.
    """
    for device in DEVICES:
        _add(db, device, f"{SERVER}/{instance}")
    _add(db, DEAD_DEVICE, f"{SERVER}/{instance}-dead")
    exported = tango.DbDevExportInfo()
    exported.name = DEAD_DEVICE.name
    exported.ior = DEAD_ADDRESS
    exported.host = "127.0.0.1"
    exported.version = "6"
    exported.pid = 1
    db.export_device(exported)
    return [device.name for device in (*DEVICES, DEAD_DEVICE)]


def _add(db: tango.Database, device: SimulatedDevice, server: str) -> None:
    info = tango.DbDevInfo()
    info.name = device.name
    info._class = device.device_class.__name__
    info.server = server
    db.add_device(info)


def main() -> None:
    classes = tuple(device.device_class for device in (*DEVICES, DEAD_DEVICE))
    run(classes, args=[SERVER, *sys.argv[1:]])


if __name__ == "__main__":
    main()
