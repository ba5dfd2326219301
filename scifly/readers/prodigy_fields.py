"""What SPECS Prodigy's fields are called here: in its XY texts, in XML, and in .sle."""

from __future__ import annotations

import re
from typing import Any

from scifish.message import Message
from scifly.readers.fragment import MAX_FIELDS, Region, put
from scifly.readers.values import Field, guessed, value

_FIELDS = {
    "analysismethod": Field("Analysis method"),
    "analysismode": Field("Analysis method"),
    "analyzerlensmode": Field("Lens mode"),
    "lensmode": Field("Lens mode"),
    "scanmode": Field("Scan mode"),
    "numscans": Field("Sweeps", number=True),
    "numberofscans": Field("Sweeps", number=True),
    "curves/scan": Field("Curves per scan", number=True),
    "curvesperscan": Field("Curves per scan", number=True),
    "values/curve": Field("Values per curve", number=True),
    "valuespercurve": Field("Values per curve", number=True),
    "numvalues": Field("Values per curve", number=True),
    "dwelltime": Field("Dwell time", "s"),
    "scandelta": Field("Energy step", "eV"),
    "excitationenergy": Field("Excitation energy", "eV"),
    "exenergy": Field("Excitation energy", "eV"),
    "eexc": Field("Excitation energy", "eV"),
    "kineticenergy": Field("Kinetic energy", "eV"),
    "kineticenergybase": Field("Kinetic energy base", "eV"),
    "ekin": Field("Kinetic energy", "eV"),
    "bindingenergy": Field("Binding energy", "eV"),
    "ebin": Field("Binding energy", "eV"),
    "end": Field("End energy", "eV"),
    "passenergy": Field("Pass energy", "eV"),
    "epass": Field("Pass energy", "eV"),
    "retardingratio": Field("Retarding ratio", number=True),
    "biasvoltage": Field("Bias voltage", "V"),
    "ubias": Field("Bias voltage", "V"),
    "detectorvoltage": Field("Detector voltage", "V"),
    "udet": Field("Detector voltage", "V"),
    "eff.workfunction": Field("Work function", "eV"),
    "effectiveworkfunction": Field("Work function", "eV"),
    "workfunction": Field("Work function", "eV"),
    "wf": Field("Work function", "eV"),
    "spectrumid": Field("Spectrum ID", number=True),
    "entrance": Field("Entrance slit"),
    "exit": Field("Exit slit"),
    "voltagerange": Field("Lens voltage range", number=True),
    "lensvoltage": Field("Lens voltage range", number=True),
    "analyzerlensvoltage": Field("Lens voltage range", number=True),
    "polarangle": Field("Polar angle", "deg"),
    "azimuthangle": Field("Azimuth angle", "deg"),
    "comment": Field("Comments"),
}
_COMMON = {
    "analyzer": Field("Analyser"),
    "source": Field("Source"),
    "group": Field("Group"),
}
_LENS = re.compile(r"(?P<mode>.+):(?P<range>[^:]+)")


def add(region: Region, name: str, text: str) -> None:
    """A field of a region, under the name it has here. `Pass Energy`, `pass_energy` and `PassEnergy` are one."""
    key = re.sub(r"[\s_]", "", name[:100]).lower()
    if key == "analyzerlens" and (lens := _LENS.fullmatch(text.strip())):
        # LargeArea:1.5kV
        put(region.fields, "Lens mode", value(lens["mode"], Field("Lens mode")))
        put(region.fields, "Lens voltage range", guessed("", lens["range"])[1])
    elif key == "analyzerlens":
        put(region.fields, "Lens mode", value(text, Field("Lens mode")))
    elif key == "analyzerslit":
        # 4:7x20c\C:mesh
        entrance, _, leave = text.partition("\\")
        put(region.fields, "Entrance slit", value(entrance, Field("")))
        put(region.fields, "Exit slit", value(leave, Field("")))
    elif key in _COMMON:
        put(region.common, _COMMON[key].name, value(text, _COMMON[key]))
    elif key in _FIELDS:
        put(region.fields, _FIELDS[key].name, value(text, _FIELDS[key]))
    else:
        put(region.fields, *guessed(name, text))


def ended(region: Region, began: float | None) -> float | None:
    """When a scan that began then was over: its values, each of the dwell time. Prodigy writes the begins only."""
    values, dwell = region.fields.get("Values per curve"), region.fields.get("Dwell time")
    seconds: Any = dwell.get("value") if isinstance(dwell, dict) else None
    if began is None or not isinstance(values, int) or not isinstance(seconds, int | float):
        return began
    return began + min(max(values * seconds, 0), 7 * 86400)


class Varying:
    """Something that is written again in each cycle: told by its first, last, smallest and largest."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._each: list[Any] = []

    def add(self, found: Any) -> None:
        numbers = isinstance(found, int | float)
        if not self._each:
            self._each = [found] * (4 if numbers else 2)
        self._each[1] = found
        if numbers and len(self._each) == 4:
            self._each[2:] = min(self._each[2], found), max(self._each[3], found)

    def value(self) -> Message:
        found: Message = {"value": self._each[0], "unit": self._unit}
        if any(other != self._each[0] for other in self._each):
            found["end"] = self._each[1]
            if len(self._each) == 4:
                found["min"], found["max"] = self._each[2:]
        return found


Varied = dict[str, Varying]


def vary(each: Varied, name: str, text: str) -> None:
    """One more value of `name`. Its unit stands in the name, or behind the value."""
    name, found = guessed(name, text)
    unit = ""
    if isinstance(found, dict):
        found, unit = found["value"], found["unit"]
    if found is not None and name and (name in each or len(each) < MAX_FIELDS):
        each.setdefault(name, Varying(unit)).add(found)


def varied(each: Varied) -> Message | None:
    return {name: varying.value() for name, varying in each.items()} or None
