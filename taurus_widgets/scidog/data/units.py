"""Units to choose from: usual ones that SciCat converts."""

from __future__ import annotations

SCICAT_UNITS = (
    *("mA", "A", "uA", "nA", "V", "mV", "K", "degC", "mm", "um", "nm", "angstrom", "deg", "mrad", "urad", "eV", "keV"),
    *("s", "ms", "h", "Hz", "kHz", "mbar", "bar", "Pa", "hPa", "W", "T", "N", "kg", "g", "mol", "l", "ml/min", "1/s"),
)
