"""Options of the recorder: the Sardana environment variable `SciFish`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

OPTIONS_VARIABLE = "SciFish"


@dataclass(frozen=True)
class RecorderOptions:
    """The options with their defaults. The names are the keys of the variable."""

    enabled: bool = True
    """Whether scans are recorded at all."""
    results: bool = True
    """Whether first, last, min, max, mean of each counter are among the metadata."""
    plot: bool = True
    """Whether the dataset gets a small plot as its picture."""
    plot_counter: str = ""
    """The counter to plot, by its name; "" for the first one whose value changes."""
    plot_axis: str = ""
    """The motor for the x axis, by its name; "" for the first one."""
    detector_files: bool = True
    """Whether the files that detectors write (ValueRef) are listed beside the scan's own."""
    description: str = ""
    """The description of the datasets."""


def options_from(given: Any) -> tuple[RecorderOptions, list[str]]:
    """The options in the variable's value, and a text for the user about each mistake in it.

    `given` is None if the variable is not set. Options without a mistake are used.
    """
    if given is None:
        return RecorderOptions(), []
    if not isinstance(given, Mapping):
        return RecorderOptions(), [
            f"the variable {OPTIONS_VARIABLE} is {given!r:.60}, not a dictionary; "
            f"write for example: senv {OPTIONS_VARIABLE} \"{{'plot': False}}\""
        ]
    known = {field.name: type(field.default) for field in fields(RecorderOptions)}
    right: dict[str, Any] = {}
    wrong: list[str] = []
    for key, value in given.items():
        kind = known.get(key)
        if kind is None:
            wrong.append(_unknown(str(key), list(known)))
        elif not isinstance(value, kind):
            wanted = "True or False" if kind is bool else "a text"
            wrong.append(f"the variable {OPTIONS_VARIABLE}: {key} is {value!r:.60}; it must be {wanted}")
        else:
            right[key] = value
    return RecorderOptions(**right), wrong


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key.lower(), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
    return f"the variable {OPTIONS_VARIABLE}: there is no option {key!r:.60}; {hint}"
