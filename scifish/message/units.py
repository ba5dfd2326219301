"""The spelling of units for SciCat, and which units SciCat converts.

SciCat converts with mathjs, which knows `um`, `degC`, `deg`, `angstrom`, `ohm` and `torr` but not µm, °C, °, Å, Ω and
Torr. A unit without a spelling in mathjs stays as it is written: SciCat keeps its value without converting it.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

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

_TORR = re.compile(r"(?<![A-Za-z])Torr(?![A-Za-z])")
"""mathjs knows torr without prefixes only: mTorr has no spelling in it."""

_SHORT = "m g s K A mol cd Hz N J W Pa C F V ohm H S Wb T eV l L bar rad"
_LONG = """meter metre gram second ampere kelvin mole hertz newton joule watt pascal coulomb farad
    volt henry siemens weber tesla electronvolt liter litre radian"""
_PLAIN = """deg degree degC degF degR degrees celsius fahrenheit arcsec arcmin grad gradian
    angstrom inch in foot ft yard yd mile mi
    min minute minutes h hr hour hours day days week weeks year years
    tonne lb oz stone erg dyn dyne lbf kgf Wh BTU hp psi atm torr mmHg"""
_SHORT_PREFIXES = "da h k M G T P E Z Y d c m u n p f a z y"
_LONG_PREFIXES = """deca hecto kilo mega giga tera peta exa zetta yotta
    deci centi milli micro nano pico femto atto zepto yocto"""

# A product of powers, with one level of brackets. Units come from outside: nested powers and incomplete expressions
# are refused.
_FACTOR = r"(?:[A-Za-z]+(?: ?\^ ?-?[0-9]{1,2})?|1)"
_PRODUCT = rf"{_FACTOR}(?: ?[ */] ?{_FACTOR})*"
_TERM = rf"(?:{_FACTOR}|\( ?{_PRODUCT} ?\)(?: ?\^ ?-?[0-9]{{1,2}})?)"
_FORM = re.compile(rf"{_TERM}(?: ?[ */] ?{_TERM})*")
_MAX_LENGTH = 64
"""Longer texts are not units, and are not cached: they may have any size."""
_NAME = re.compile(r"[A-Za-z]+")


def mathjs_spelling(unit: str) -> str:
    """The unit in the spelling of mathjs, or unchanged if a part of it has no such spelling."""
    return _spelled(unit) if len(unit) <= _MAX_LENGTH else unit


@lru_cache(maxsize=4096)
def _spelled(unit: str) -> str:
    spelled = unit
    for written, known in _SPELLINGS:
        spelled = spelled.replace(written, known)
    spelled = _TORR.sub("torr", spelled)
    return spelled if spelled.isascii() else unit


def convertible(unit: str) -> bool:
    """Whether SciCat converts a unit (in `mathjs_spelling`). It keeps other units as they are written."""
    return len(unit) <= _MAX_LENGTH and _converts(unit)


@lru_cache(maxsize=4096)
def _converts(unit: str) -> bool:
    text = " ".join(unit.split())
    if not _FORM.fullmatch(text):
        return False
    names = _NAME.findall(text)
    return bool(names) and all(name in _names() for name in names)


@cache
def _names() -> frozenset[str]:
    short, long = _SHORT.split(), _LONG.split()
    prefixed = {prefix + name for prefix in _SHORT_PREFIXES.split() for name in short}
    prefixed |= {prefix + name for prefix in _LONG_PREFIXES.split() for name in long}
    return frozenset({*short, *long, *_PLAIN.split(), *prefixed})
