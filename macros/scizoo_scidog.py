"""Macros on SciDog: what is recorded with each scan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sardana.macroserver.macro import Optional, Type, macro

from macros._output import table
from scifish import clients, config

__all__ = ["scidog_list", "scidog_show", "scidog_use"]


@macro()
def scidog_list(self: Any) -> None:
    """List the configurations; an arrow marks the active one."""
    settings = clients.read_now()
    always = [name.lower() for name in settings.always_configs]
    rows = []
    for name, lines in sorted(settings.configs.items()):
        entries, problems = config.parse(lines, name)
        active = name.lower() == settings.active_config.lower()
        when = "active" if active else "always" if name.lower() in always else ""
        rows.append(["->" if active else "", name, len(entries), when, len(problems) or ""])
    table(self, ["Now", "Configuration", "Entries", "Recorded", "Mistakes"], rows)
    self.output("scidog_use NAME makes another one active; scidog_show [NAME] shows what is in it.")


@macro([["name", Type.String, None, "The configuration"]])
def scidog_use(self: Any, name: str) -> None:
    """Make a configuration the active one, for the next scan on."""
    settings = clients.read_now()
    chosen = clients.use_config(settings, name)
    entries, problems = replace(settings, active_config=chosen).entries()
    self.output("%s is active: %d attributes are recorded from the next scan on.", chosen, len(entries))
    _warn(self, problems)


@macro([["name", Type.String, Optional, "A configuration; without one, all that is recorded now"]])
def scidog_show(self: Any, name: str | None) -> None:
    """Show what is recorded, or what is in one configuration."""
    settings = clients.read_now()
    if name is None:
        entries, problems = settings.entries()
    else:
        entries, problems = config.effective(settings.configs, (), clients.config_named(settings, name))
    table(
        self,
        ["Group", "Name", "Unit", "Source", "Record"],
        [[entry.group, entry.name, entry.unit, entry.source, ", ".join(entry.record)] for entry in entries],
    )
    self.output("%d attributes", len(entries))
    _warn(self, problems)


def _warn(self: Any, problems: list[str]) -> None:
    for problem in problems:
        self.warning("%s", problem)
