"""Where a proposal's data lies: `/data/{visitors,proprietary,staff}/<beamline>/<proposal>/<visit>/{raw,process}`.

That is the default of a template; this is the one place that makes a path out of names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from sdm import yaml_nodes
from sdm.names import (
    AUTO_VISIT,
    CATEGORIES,
    LONGEST_NAME,
    NameRefused,
    Place,
    check_category,
    check_name,
    check_sample,
    check_visit,
    today,
)

__all__ = [
    "AUTO_VISIT",
    "CATEGORIES",
    "DEFAULT_ROOT",
    "LONGEST_NAME",
    "Layout",
    "LayoutError",
    "NameRefused",
    "Place",
    "Rule",
    "check_category",
    "check_name",
    "check_sample",
    "check_visit",
    "layout_from",
    "today",
]

DEFAULT_ROOT = Path("/data")


class LayoutError(NameRefused):
    """A layout that cannot be used. The text says where and why."""


@dataclass(frozen=True)
class Rule:
    """How one folder is to be: its mode, and its group as a template; {group} is the proposal's."""

    mode: int
    group: str = "{group}"


DEFAULT_PATH = "{category}/{beamline}/{proposal}/{visit}/raw"
DEFAULT_SIBLINGS = ("process",)

# The leading 2 (setgid) hands the group down to what is made inside.
ABOVE_MODE = 0o2750
VISIT_MODE = 0o2770

PATH_FIELDS = ("category", "beamline", "proposal", "visit", "year")
GROUP_FIELDS = ("group", "category", "beamline", "proposal")


@dataclass(frozen=True)
class Layout:
    """The paths of a place, below a root that is an absolute path. Raises LayoutError.

    `path` is a template of the folder that detectors write to. Its parts before the first that
    names a proposal or a visit must exist; the rest is made, and beside the last part its
    `siblings`. `rules` say what is particular about a folder, by its part of `path` or its name.
    """

    root: Path = DEFAULT_ROOT
    path: str = DEFAULT_PATH
    siblings: tuple[str, ...] = DEFAULT_SIBLINGS
    rules: Mapping[str, Rule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.root.is_absolute() or ".." in self.root.parts:
            raise LayoutError(f"root {str(self.root)!r} is not an absolute path without '..'")
        for one in self._parts:
            _check_template(one, PATH_FIELDS, f"path {self.path!r}: the part")
        if "{proposal}" not in self.path:
            raise LayoutError(f"path {self.path!r} does not name {{proposal}}: data of several would lie together")
        if "{" in self._parts[-1]:
            raise LayoutError(f"path {self.path!r} must end with a plain name, such as raw")
        for name in self.siblings:
            check_name(name, "sibling")
        names = (*self._parts[self._made :], *self.siblings)
        made = ", ".join(names)
        if len(set(names)) < len(names):
            raise LayoutError(f"of the folders that are made ({made}) two have the same name")
        for name, rule in self.rules.items():
            if name not in names:
                raise LayoutError(f"folder {name!r} is none of those that are made: {made}")
            _check_template(rule.group, GROUP_FIELDS, f"folder {name!r}: group")
            if not 0o700 <= rule.mode <= 0o7777 or rule.mode & 0o700 != 0o700:
                raise LayoutError(f"folder {name!r}: mode {rule.mode:04o} does not leave all to its owner (07..)")

    @property
    def _parts(self) -> list[str]:
        return self.path.split("/")

    @property
    def _made(self) -> int:
        """The first of the parts that are made."""
        named = ("{proposal}", "{visit}", "{year}")
        return next(number for number, one in enumerate(self._parts) if any(name in one for name in named))

    def _to(self, place: Place, parts: int) -> Path:
        return self.root.joinpath(*(_filled(one, place) for one in self._parts[:parts]))

    def beamline(self, place: Place) -> Path:
        """The folder that must exist; it belongs to `<beamline>-service:<beamline>`."""
        return self._to(place, self._made)

    def proposal(self, place: Place) -> Path:
        """The folder that holds all of the proposal's data, and of no other."""
        first = next(number for number, one in enumerate(self._parts) if "{proposal}" in one)
        return self._to(place, first + 1)

    def visit(self, place: Place) -> Path:
        """The folder of raw and its siblings."""
        return self._to(place, len(self._parts) - 1)

    def raw(self, place: Place) -> Path:
        """Where detectors write."""
        return self._to(place, len(self._parts))

    def process(self, place: Place) -> Path:
        """Where analysis writes; its tools find it by replacing `raw` in the path."""
        return self.visit(place) / "process"

    def sample(self, place: Place) -> Path:
        """The sample's folder below raw; raw itself where there is no sample."""
        return self.raw(place) / place.sample

    def made(self, place: Place) -> list[tuple[Path, Rule]]:
        """The folders that are made for a place, from the top, with raw and what is below it last."""
        last = len(self._parts) - 1
        above = [(self._to(place, number + 1), self._rule(number)) for number in range(self._made, last)]
        beside = [(self.visit(place) / name, self.rules.get(name, self.usual(name))) for name in self.siblings]
        raw, sample = self.raw(place), self.sample(place)
        below = [path for path in reversed((sample, *sample.parents)) if raw in path.parents]
        return [*above, *beside, *((path, self._rule(last)) for path in (raw, *below))]

    def _rule(self, number: int) -> Rule:
        return self.rules.get(self._parts[number], self.usual(self._parts[number]))

    def usual(self, name: str) -> Rule:
        """The rule of a part of the path or of a sibling where nothing else is said."""
        return Rule(ABOVE_MODE if name in self._parts[self._made : -2] else VISIT_MODE)

    def group(self, rule: Rule, place: Place, group: str) -> str:
        """The group of a folder with this rule; `group` is the proposal's."""
        return rule.group.format(group=group, category=place.category, beamline=place.beamline, proposal=place.proposal)


_NAMED = re.compile(r"\{([^{}]*)\}")


def _check_template(template: str, fields: Sequence[str], what: str) -> None:
    for name in _NAMED.findall(template):
        if name not in fields:
            raise LayoutError(f"{what} {template!r} names {{{name}}}; known are {', '.join(fields)}")
    try:
        check_name(_NAMED.sub("x", template), what)
    except NameRefused as error:
        raise LayoutError(str(error)) from error


def _filled(template: str, place: Place) -> str:
    """One folder's name. Raises NameRefused: several good names may together be too long, or a device of Windows."""
    year = place.visit[:4]
    if "{year}" in template and not (year.isdigit() and len(year) == 4):
        raise NameRefused(f"visit {place.visit!r} does not begin with a year, which the path names")
    names = {"category": place.category, "beamline": place.beamline, "proposal": place.proposal, "visit": place.visit}
    return check_name(template.format(**names, year=year), "folder")


# A settings text, in place of a path's template or of a file's name, begins with one of its fields.
_SETTINGS = re.compile(r"(path|siblings|folders)\s*:")


def layout_from(text_or_path: str, prefix: Path = DEFAULT_ROOT) -> Layout:
    """The layout of a setting: "" for the default, a template with {proposal}, YAML text, or a YAML file's path.

    Raises LayoutError that names the file, the line and the field.
    """
    said = text_or_path.strip()
    if not said:
        return Layout(prefix)
    if _SETTINGS.match(said):
        return _layout("the layout", said, prefix)
    if "{" in said:
        return Layout(prefix, said)
    return _layout(said, yaml_nodes.read(Path(said), LayoutError), prefix)


def _layout(where: str, said: str, prefix: Path) -> Layout:
    layout = Layout(prefix)
    with yaml_nodes.telling(where, LayoutError):
        root = yaml_nodes.root_of(said)
        if root is None:
            raise LayoutError(f"{where} is empty")
        given = yaml_nodes.mapping(root, "the layout", ("path", "siblings", "folders"))
        if "path" in given:  # without siblings yet, as it may end with the name of a usual one
            layout = _with(layout, given["path"], path=yaml_nodes.text(given["path"], "path"), siblings=())
        own = "siblings" in given
        siblings = yaml_nodes.texts(given["siblings"], "siblings", str) if own else DEFAULT_SIBLINGS
        layout = _with(layout, given.get("siblings", root), siblings=siblings)
        if "folders" in given:
            for name, node in yaml_nodes.mapping(given["folders"], "folders").items():
                rule = _rule(node, f"folder {name!r}", layout.usual(name))
                layout = _with(layout, node, rules={**layout.rules, name: rule})
    return layout


def _with(layout: Layout, node: yaml.Node, **changes: Any) -> Layout:
    try:
        return replace(layout, **changes)
    except NameRefused as error:
        raise yaml_nodes.Mistake(node, str(error)) from error


def _rule(node: yaml.Node, what: str, usual: Rule) -> Rule:
    given = yaml_nodes.mapping(node, what, ("mode", "group"))
    mode = yaml_nodes.text(given.get("mode"), f"{what}: mode")
    if mode and not re.fullmatch(r"(0o|0)?[0-7]{3,4}", mode):
        raise yaml_nodes.Mistake(given["mode"], f"{what}: mode {mode!r} is not of the form 02770")
    group = yaml_nodes.text(given.get("group"), f"{what}: group")
    return Rule(int(mode, 8) if mode else usual.mode, group or usual.group)
