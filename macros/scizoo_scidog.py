"""Macros for SciDog: the attributes that are recorded with each scan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sardana.macroserver.macro import Optional, Type, macro

from scifish.attributes.reader import Reader, entry_leaf
from scifish.configurations import check
from scifish.configurations.diff import differences
from scifish.message.types import Value
from scifish.recording.spock import printable, table
from scifish.settings import CONFIG_PREFIX, Settings, devices
from scifish.settings.entries import Entry, effective_entries, parse_entries

__all__ = ["scidog_check", "scidog_diff", "scidog_list", "scidog_show", "scidog_use"]

MAX_SHOWN_CHARACTERS = 60
"""Maximum length of a value in a table."""


@macro()
def scidog_list(self: Any) -> None:
    """List the configurations; an arrow marks the active one."""
    settings = devices.read_now()
    used = devices.used_now(settings)
    always = [name.lower() for name in used.always_configs]
    rows = []
    for name, lines in sorted(used.configs.items()):
        entries, _ = parse_entries(lines, name)
        _, problems = parse_entries(settings.configs.get(name, ()), name)
        active = name.lower() == used.active_config.lower()
        when = "active" if active else "always" if name.lower() in always else ""
        rows.append(["->" if active else "", name, len(entries), when, len(problems) or ""])
    table(self, ["Now", "Configuration", "Entries", "Recorded", "Mistakes"], rows)
    self.output("scidog_use NAME makes another one active; scidog_show [NAME] shows what is in it.")
    _warn(self, used.replaced)


@macro([["name", Type.String, None, "The configuration"]])
def scidog_use(self: Any, name: str) -> None:
    """Make a configuration the active one, for the next scan on."""
    settings = devices.read_now()
    chosen = devices.use_config(settings, name)
    used = devices.used_now(replace(settings, active_config=chosen))
    entries, problems = used.entries()
    active = printable(used.active_config or "none")  # another one if no line of the chosen one can be read
    self.output("%s is active: %d attributes are recorded from the next scan on.", active, len(entries))
    _warn(self, problems)


@macro([["name", Type.String, Optional, "A configuration; without one, all that is recorded now"]])
def scidog_show(self: Any, name: str | None) -> None:
    """Show what is recorded, or what is in one configuration."""
    settings = devices.read_now()
    entries, problems = _entries(settings, name)
    table(
        self,
        ["Group", "Name", "Unit", "Source", "Record"],
        [[entry.group, entry.name, entry.unit, entry.source, ", ".join(entry.record)] for entry in entries],
    )
    self.output("%d attributes", len(entries))
    _warn(self, problems)


@macro([["name", Type.String, Optional, "A configuration; without one, all that is recorded now"]])
def scidog_check(self: Any, name: str | None) -> None:
    """Read all attributes that would be recorded, and show their values and units, and what cannot be read.

    scidog_check         what is recorded now, with the beamline's defaults
    scidog_check NAME    one configuration, also if it is not the active one

    It reads from the machine of this MacroServer, as a scan does, and works with SciDog stopped. The
    first table has the values as a scan would record them; the second what cannot be read and why, and
    what is probably a mistake (a unit that SciCat cannot convert, a value that the map does not know); the
    third how long each device took. Nothing is recorded.
    """
    settings = devices.read_now()
    entries, problems = _entries(settings, name)
    reader = Reader()
    try:
        reads = check.read(entries, reader, settings.snapshot_timeout)
        findings = check.check(reads, devices.is_defined)
    finally:
        reader.close()
    rows = [
        [entry.group, entry.name, *_shown(entry_leaf(entry, reads.readings[entry.source], settings.max_array_size))]
        for entry in entries
        if not reads.readings[entry.source].error
    ]
    table(self, ["Group", "Name", "Value", "Unit", ""], rows)
    if findings:
        rows = [[found.level, found.group, found.name, found.source, found.text] for found in findings]
        table(self, ["", "Group", "Name", "Source", "What"], rows)
    times = check.rounded(reads.took).items()
    rows = [[device, "no answer" if seconds is None else f"{seconds:.3f}"] for device, seconds in times]
    table(self, ["Device", "Seconds"], rows)
    there, count = len(entries) - len(reads.failed), len(entries)
    self.output("%d of %d attributes can be read; it took %.2f s.", there, count, reads.seconds)
    _warn(self, problems)


@macro(
    [
        ["name", Type.String, None, "A configuration"],
        ["other", Type.String, Optional, "Another one; or #17, or a revision: what the first was then"],
    ]
)
def scidog_diff(self: Any, name: str, other: str | None) -> None:
    """Show what differs between two configurations, or what has been changed in one.

    scidog_diff NAME OTHER       how OTHER differs from NAME
    scidog_diff NAME #17         how NAME is now, and was after change 17
    scidog_diff NAME REVISION    the same, by its revision
    scidog_diff NAME             how NAME is now, and was before its last change; and its history

    An earlier state comes from SciDog's history, so its server has to run. SciDog's command Restore
    goes back to one.
    """
    settings = devices.read_now()
    name = devices.config_named(settings, name)
    now, problems = _entries(settings, name)
    if other is not None and other.lower() in map(str.lower, settings.configs):
        before, (after, more) = now, _entries(settings, other)
        problems = problems + more
        label = [name, devices.config_named(settings, other)]
    else:
        before, label = _earlier(self, settings, name, other)
        after = now
    found = differences(before, after)
    if found:
        table(self, ["What", "Group", "Name", *label], found)
    self.output("%d differences", len(found))
    _warn(self, problems)


def _entries(settings: Settings, name: str | None) -> tuple[list[Entry], list[str]]:
    if name is None:
        return devices.used_now(settings).entries()
    return effective_entries(settings.configs, (), devices.config_named(settings, name))


def _earlier(self: Any, settings: Settings, name: str, which: str | None) -> tuple[list[Entry], list[str]]:
    """The entries of an earlier state, and the labels of that state and of the present one."""
    changes = _history(settings, CONFIG_PREFIX + name)
    if which is None:
        rows = [[f"#{c['number']}", c["time"], c["who"], c["what"], c["revision"]] for c in changes]
        table(self, ["Change", "Time", "Who", "What", "Revision"], rows)
        last = _history(settings, f"#{changes[0]['number']}")
        if last["before"] is None and len(changes) > 1:
            self.output("Before its last change there was no %s.", printable(name))
        elif last["before"] is None:
            self.output("The history has no earlier state of %s.", printable(name))
        return parse_entries(last["before"] or last["lines"] or [], name)[0], ["Before", "Now"]
    if not which.startswith("#"):
        which = next((f"#{change['number']}" for change in changes if change["revision"] == which), which)
    if not which.startswith("#"):
        known = ", ".join(sorted(settings.configs))
        raise devices.Refused(
            f"{which!r} is neither a configuration nor a revision of {name}; configurations are: {known}"
        )
    return parse_entries(_history(settings, which)["lines"] or [], name)[0], [f"At {which}", "Now"]


def _history(settings: Settings, which: str) -> Any:
    return json.loads(devices.scidog(settings).command("History", which))


def _shown(leaf: Value) -> list[str]:
    """Value, unit and quality of a value of the message, for a table."""
    value = leaf["value"]
    if "shape" in leaf:
        text = f"{' x '.join(map(str, leaf['shape']))} values"
        text += f", {leaf['min']:g} to {leaf['max']:g}, mean {leaf['mean']:g}" if "mean" in leaf else ""
    else:
        text = _text(value)
    if "raw" in leaf:
        text += f" ({_text(leaf['raw'])})"
    cut = text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."
    return [cut, leaf["unit"], leaf.get("quality", "")]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _warn(self: Any, problems: Sequence[str]) -> None:
    for problem in problems:
        self.warning("%s", printable(problem))
