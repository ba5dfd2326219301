"""Values of metadata as one line of text, as all widgets show them.

Nothing raises for any JSON that a catalogue or a device may have, and every text is one line without control
characters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

NOT_READ = "not read"
"""In place of a value that could not be read, where there is no room for the reason."""


def line(value: Any) -> str:
    """Any value as one line of printable text; "" for None."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else str(value)
    if text.isprintable():
        return text.strip()
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def number(value: Any, digits: int = 6) -> str:
    """A number with at most this many significant digits; integers with all digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return format(value, f".{digits}g")
    return line(value)


def value_text(value: Any, digits: int = 6, longest: int = 4) -> str:
    """A value as text; numbers have `digits` significant digits.

    Lists and tables with up to `longest` entries are shown in full, longer ones as a summary.
    """
    if isinstance(value, bool | float):
        return number(value, digits)
    if isinstance(value, list):
        return _list_text(value, digits, longest)
    if isinstance(value, Mapping):
        shown = [f"{line(name)}: {value_text(inner, digits, longest)}" for name, inner in value.items()]
        return ", ".join(shown) if len(shown) <= longest else f"{len(shown)} entries: {', '.join(shown[:2])}, …"
    return line(value)


def _list_text(values: Sequence[Any], digits: int, longest: int) -> str:
    shape = _shape(values)
    if len(shape) > 1 and math.prod(shape) > longest:
        return _range_text(" by ".join(map(str, shape)), list(_flat(values)), digits)
    if len(values) > longest and all(isinstance(inner, Mapping) for inner in values):
        return f"{len(values)} rows of {', '.join(line(name) for name in values[0])}"
    if len(values) > longest:
        return _range_text(str(len(values)), values, digits)
    return ", ".join(_inner_text(inner, digits, longest) for inner in values)


def _inner_text(value: Any, digits: int, longest: int) -> str:
    text = value_text(value, digits, longest)
    return f"[{text}]" if isinstance(value, list) else text


def _range_text(size: str, values: Sequence[Any], digits: int) -> str:
    numbers = [inner for inner in values if isinstance(inner, int | float)]
    if len(numbers) < len(values):
        return f"{size} values: {', '.join(value_text(inner, digits) for inner in values[:2])}, …"
    return f"{size} values, {number(min(numbers), digits)} to {number(max(numbers), digits)}"


def _shape(values: Sequence[Any]) -> tuple[int, ...]:
    """The shape of a table with equal rows, of any depth; the length of any other list."""
    shapes = {_shape(inner) if isinstance(inner, list) else () for inner in values}
    return (len(values), *(shapes.pop() if len(shapes) == 1 else ()))


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for inner in values:
        if isinstance(inner, list):
            yield from _flat(inner)
        else:
            yield inner


def leaf_text(leaf: Any, digits: int = 6, longest: int = 4) -> str:
    """The value of a metadata entry without its unit; `start → end` if both were recorded."""
    if not isinstance(leaf, Mapping) or "value" not in leaf:
        return value_text(leaf, digits, longest)
    value = leaf["value"]
    # SciCow writes "" for a value that a later reading lost: null would delete it from SciCat.
    if value in (None, "") and leaf.get("error"):
        return NOT_READ
    if value is None:
        return _summary(leaf, digits) if leaf.get("shape") else ""
    text = exact_text(leaf) or value_text(value, digits, longest)
    end = leaf.get("end")
    if end is not None and not isinstance(end, Mapping) and (end != value or "end_exact" in leaf):
        last = exact_text(leaf, "end") or value_text(end, digits, longest)
        return text if last == text else f"{text} → {last}"
    return text


def exact_text(leaf: Mapping[str, Any], name: str = "value") -> str:
    """The digits of a whole number that SciCat rounds, which SciCow writes beside it; "" where there are none."""
    exact = leaf.get("exact" if name == "value" else f"{name}_exact")
    is_number = isinstance(leaf.get(name), int | float)
    return exact if is_number and isinstance(exact, str) and _WHOLE_NUMBER.fullmatch(exact) else ""


_WHOLE_NUMBER = re.compile(r"-?[0-9]+")


def _summary(leaf: Mapping[str, Any], digits: int) -> str:
    shape = leaf["shape"] if isinstance(leaf["shape"], list) else [leaf["shape"]]
    text = " by ".join(number(length) for length in shape) + " values"
    if "min" in leaf and "max" in leaf:
        text += f", {value_text(leaf['min'], digits)} to {value_text(leaf['max'], digits)}"
    if "mean" in leaf:
        text += f", mean {value_text(leaf['mean'], digits)}"
    return text
