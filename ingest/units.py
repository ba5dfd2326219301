"""Units as SciCat can read them.

SciCat converts with mathjs, which knows `um`, `degC`, `deg`, `angstrom` and `ohm` but not µm, °C,
°, Å and Ω. What has no other spelling of the same meaning stays as it was written: SciCat then
keeps the value without converting it.
"""

from __future__ import annotations

_SPELLINGS = (
    ("°C", "degC"),
    ("°F", "degF"),
    ("°", "deg"),
    ("℃", "degC"),
    ("Å", "angstrom"),
    ("\N{ANGSTROM SIGN}", "angstrom"),
    ("\N{OHM SIGN}", "ohm"),
    ("\N{GREEK CAPITAL LETTER OMEGA}", "ohm"),
    ("\N{MICRO SIGN}", "u"),
    ("\N{GREEK SMALL LETTER MU}", "u"),
    ("⁻¹", "^-1"),
    ("⁻²", "^-2"),
    ("⁻³", "^-3"),
    ("²", "^2"),
    ("³", "^3"),
    ("·", "*"),
    ("\N{DOT OPERATOR}", "*"),
)


def readable(unit: str) -> str:
    """The unit in mathjs's spelling, or as it is where that would not be the whole of it."""
    spelled = unit
    for written, known in _SPELLINGS:
        spelled = spelled.replace(written, known)
    return spelled if spelled.isascii() else unit
