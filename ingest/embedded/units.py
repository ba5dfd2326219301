"""SI values as SciCat's backend makes them: its mathjs decides which units count, pint converts.

pint knows many more units than mathjs (and other ones: its G is the constant of gravity), so
only what mathjs takes is given to it. Everything else stays as it is, as on the real server.
"""

from __future__ import annotations

import math
import re
import threading
from functools import cache, lru_cache
from typing import Any

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

_SPELT = {"\u00c5": "angstrom", "\u212b": "angstrom"}
_BASE = {
    "kilogram": "kg",
    "meter": "m",
    "second": "s",
    "ampere": "A",
    "kelvin": "K",
    "candela": "cd",
    "mole": "mol",
    "radian": "rad",
}
"""pint's base units, in the order in which mathjs writes them."""

# A product of powers, with brackets one deep. A unit comes from outside: what pint would make of
# a tower of powers, or of half an expression, is never tried.
_FACTOR = r"(?:[A-Za-z]+(?: ?\^ ?-?[0-9]{1,2})?|1)"
_PRODUCT = rf"{_FACTOR}(?: ?[ */] ?{_FACTOR})*"
_TERM = rf"(?:{_FACTOR}|\( ?{_PRODUCT} ?\)(?: ?\^ ?-?[0-9]{{1,2}})?)"
_FORM = re.compile(rf"{_TERM}(?: ?[ */] ?{_TERM})*")
_MAX_LENGTH = 64
_NAME = re.compile(r"[A-Za-z]+")
_lock = threading.Lock()


def to_si(value: Any, unit: Any) -> tuple[Any, Any]:
    """(valueSI, unitSI); value and unit as they are where mathjs can't convert them.

    A result that is too large for a float64 is None, as JSON has no infinity.
    """
    number = _number(value)
    found = _linear(unit) if isinstance(unit, str) and number is not None else None
    if found is None or number is None:
        return value, unit
    factor, offset, name = found
    converted = number * factor + offset
    return (converted if math.isfinite(converted) else None), name


def _number(value: Any) -> float | None:
    """The number as JavaScript sees it: mathjs takes true as 1 and "12" as 12."""
    if isinstance(value, bool | int | float):
        return float(value)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return None
    return None


@lru_cache(maxsize=4096)
def _linear(unit: str) -> tuple[float, float, str] | None:
    """(factor, offset, SI unit) of a unit, or None if it can't be converted."""
    text = " ".join(_SPELT.get(unit, unit).split())
    if not _convertible(text):
        return None
    try:
        with _lock:
            registry = _registry()
            parsed = registry.parse_units(text.replace("^", "**"))
            zero = registry.Quantity(0.0, parsed).to_base_units()
            one = registry.Quantity(1.0, parsed).to_base_units()
    except (ValueError, ArithmeticError, TypeError):  # such as degC/s, whose zero has no meaning
        return None
    name = _si_name({str(base): float(power) for base, power in one.unit_items()})
    if not name or not math.isfinite(one.magnitude):
        return None
    offset = float(zero.magnitude)
    return float(one.magnitude) - offset, offset, name


def _convertible(text: str) -> bool:
    if len(text) > _MAX_LENGTH or not _FORM.fullmatch(text):
        return False
    names = _NAME.findall(text)
    return bool(names) and all(name in _names() for name in names)


def _si_name(powers: dict[str, float]) -> str | None:
    """As mathjs writes a unit: `kg`, `1` powers left out, `(kg m^2) / s^2`, `s^-1`."""
    if not powers or not powers.keys() <= _BASE.keys():
        return None
    ordered = [(short, powers[base]) for base, short in _BASE.items() if powers.get(base)]
    above = [_raised(short, power) for short, power in ordered if power > 0]
    below = [_raised(short, -power if above else power) for short, power in ordered if power < 0]
    if not above or not below:
        return " ".join(above or below)
    return f"{_grouped(above)} / {_grouped(below)}"


def _raised(name: str, power: float) -> str:
    return name if power == 1 else f"{name}^{power:g}"


def _grouped(parts: list[str]) -> str:
    return f"({' '.join(parts)})" if len(parts) > 1 else parts[0]


@cache
def _names() -> frozenset[str]:
    short, long = _SHORT.split(), _LONG.split()
    prefixed = {prefix + name for prefix in _SHORT_PREFIXES.split() for name in short}
    prefixed |= {prefix + name for prefix in _LONG_PREFIXES.split() for name in long}
    return frozenset({*short, *long, *_PLAIN.split(), *prefixed})


@cache
def _registry() -> Any:
    import pint  # a third of a second: only who converts pays for it

    return pint.UnitRegistry(cache_folder=None)
