"""SI values as SciCat's backend makes them: its mathjs decides which units count, pint converts.

pint knows many more units than mathjs (and other ones: its G is the constant of gravity), so
only what mathjs takes is given to it. Everything else stays as it is, as on the real server.
"""

from __future__ import annotations

import math
import threading
from functools import cache, lru_cache
from typing import Any

from scifish.message.units import convertible

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


def _linear(unit: str) -> tuple[float, float, str] | None:
    """(factor, offset, SI unit) of a unit, or None if it can't be converted."""
    text = " ".join(_SPELT.get(unit, unit).split())
    return _converted(text) if convertible(text) else None


@lru_cache(maxsize=4096)
def _converted(text: str) -> tuple[float, float, str] | None:
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


MATHJS = ("electron_volt = 1.602176565e-19 J = eV", "torr = 133.322 Pa", "millimeter_Hg = 133.322 Pa = mmHg")
"""Where mathjs has other constants than pint: of CODATA 2010, and rounded. All others are the same to 1e-9."""


@cache
def _registry() -> Any:
    import pint  # a third of a second: only who converts pays for it

    registry: Any = pint.UnitRegistry(cache_folder=None, on_redefinition="ignore")
    for definition in MATHJS:
        registry.define(definition)
    return registry
