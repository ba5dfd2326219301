"""Our names for the fields of SPECS Prodigy, in its XY texts, in XML and in .sle."""

from __future__ import annotations

import re
from typing import Any

from scifish.message import Message
from scifly.readers.fragment import MAX_FIELDS, Region, put
from scifly.readers.values import HeaderField, guessed, value

_FIELDS = {
    "analysismethod": HeaderField("Analysis method"),
    "analysismode": HeaderField("Analysis method"),
    "analyzerlensmode": HeaderField("Lens mode"),
    "lensmode": HeaderField("Lens mode"),
    "scanmode": HeaderField("Scan mode"),
    "numscans": HeaderField("Sweeps", number=True),
    "numberofscans": HeaderField("Sweeps", number=True),
    "curves/scan": HeaderField("Curves per scan", number=True),
    "curvesperscan": HeaderField("Curves per scan", number=True),
    "values/curve": HeaderField("Values per curve", number=True),
    "valuespercurve": HeaderField("Values per curve", number=True),
    "numvalues": HeaderField("Values per curve", number=True),
    "dwelltime": HeaderField("Dwell time", "s"),
    "scandelta": HeaderField("Energy step", "eV"),
    "excitationenergy": HeaderField("Excitation energy", "eV"),
    "exenergy": HeaderField("Excitation energy", "eV"),
    "eexc": HeaderField("Excitation energy", "eV"),
    "kineticenergy": HeaderField("Kinetic energy", "eV"),
    "kineticenergybase": HeaderField("Kinetic energy base", "eV"),
    "ekin": HeaderField("Kinetic energy", "eV"),
    "bindingenergy": HeaderField("Binding energy", "eV"),
    "ebin": HeaderField("Binding energy", "eV"),
    "end": HeaderField("End energy", "eV"),
    "passenergy": HeaderField("Pass energy", "eV"),
    "epass": HeaderField("Pass energy", "eV"),
    "retardingratio": HeaderField("Retarding ratio", number=True),
    "biasvoltage": HeaderField("Bias voltage", "V"),
    "ubias": HeaderField("Bias voltage", "V"),
    "detectorvoltage": HeaderField("Detector voltage", "V"),
    "udet": HeaderField("Detector voltage", "V"),
    "eff.workfunction": HeaderField("Work function", "eV"),
    "effectiveworkfunction": HeaderField("Work function", "eV"),
    "workfunction": HeaderField("Work function", "eV"),
    "wf": HeaderField("Work function", "eV"),
    "spectrumid": HeaderField("Spectrum ID", number=True),
    "entrance": HeaderField("Entrance slit"),
    "exit": HeaderField("Exit slit"),
    "voltagerange": HeaderField("Lens voltage range", number=True),
    "lensvoltage": HeaderField("Lens voltage range", number=True),
    "analyzerlensvoltage": HeaderField("Lens voltage range", number=True),
    "polarangle": HeaderField("Polar angle", "deg"),
    "azimuthangle": HeaderField("Azimuth angle", "deg"),
    "comment": HeaderField("Comments"),
}
_COMMON = {
    "analyzer": HeaderField("Analyser"),
    "source": HeaderField("Source"),
    "group": HeaderField("Group"),
}
_LENS = re.compile(r"(?P<mode>.+):(?P<range>[^:]+)")


def add(region: Region, name: str, text: str) -> None:
    """Add a field of a region under our name. `Pass Energy`, `pass_energy` and `PassEnergy` are the same."""
    key = re.sub(r"[\s_]", "", name[:100]).lower()
    if key == "analyzerlens" and (lens := _LENS.fullmatch(text.strip())):
        # Example: LargeArea:1.5kV
        put(region.fields, "Lens mode", value(lens["mode"], HeaderField("Lens mode")))
        put(region.fields, "Lens voltage range", guessed("", lens["range"])[1])
    elif key == "analyzerlens":
        put(region.fields, "Lens mode", value(text, HeaderField("Lens mode")))
    elif key == "analyzerslit":
        # Example: 4:7x20c\C:mesh
        entrance, _, leave = text.partition("\\")
        put(region.fields, "Entrance slit", value(entrance, HeaderField("")))
        put(region.fields, "Exit slit", value(leave, HeaderField("")))
    elif key in _COMMON:
        put(region.common, _COMMON[key].name, value(text, _COMMON[key]))
    elif key in _FIELDS:
        put(region.fields, _FIELDS[key].name, value(text, _FIELDS[key]))
    else:
        put(region.fields, *guessed(name, text))


def ended(region: Region, began: float | None) -> float | None:
    """The end of a scan that started at `began`: the number of values times the dwell time.

    In seconds since 1970. Prodigy writes only the start. Without these fields it is `began`.
    """
    values, dwell = region.fields.get("Values per curve"), region.fields.get("Dwell time")
    seconds: Any = dwell.get("value") if isinstance(dwell, dict) else None
    if began is None or not isinstance(values, int) or not isinstance(seconds, int | float):
        return began
    return began + min(max(values * seconds, 0), 7 * 86400)


class Varying:
    """A parameter that is written in each cycle, described by its first, last, smallest and largest value."""

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
    """Add a value of `name`. The unit is in the name or after the value."""
    name, found = guessed(name, text)
    unit = ""
    if isinstance(found, dict):
        found, unit = found["value"], found["unit"]
    if found is not None and name and (name in each or len(each) < MAX_FIELDS):
        each.setdefault(name, Varying(unit)).add(found)


def varied(each: Varied) -> Message | None:
    return {name: varying.value() for name, varying in each.items()} or None
