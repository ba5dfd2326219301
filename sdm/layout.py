"""Where a proposal's data is stored: `/data/{visitors,proprietary,staff}/<beamline>/<proposal>/<visit>/{raw,process}`.

This is the default template. Only this module makes paths from names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from sdm.names import DataLocation, NameRefused, check_name
from sdm.yaml_document import FORBID_EXTRA, FieldPath, YamlDocument, check, read_text

DEFAULT_ROOT = Path("/data")


class LayoutError(NameRefused):
    """A layout that cannot be used. The text says where and why."""


@dataclass(frozen=True)
class FolderRule:
    """The mode of one folder, and its group as a template; {group} is the proposal's group."""

    mode: int
    group: str = "{group}"


DEFAULT_PATH = "{category}/{beamline}/{proposal}/{visit}/raw"
DEFAULT_SIBLINGS = ("process",)

# The leading 2 (setgid): what is made inside gets the same group.
ABOVE_MODE = 0o2750
VISIT_MODE = 0o2770

PATH_FIELDS = ("category", "beamline", "proposal", "visit", "year")
GROUP_FIELDS = ("group", "category", "beamline", "proposal")


@dataclass(frozen=True)
class Layout:
    """The paths of a location, below a root that is an absolute path. Raises LayoutError.

    `path` is a template of the folder that detectors write to. Its parts before the first one with a
    proposal, a visit or a year must exist; the rest is made, and next to the last part its `siblings`.
    `rules` are the exceptions for single folders, by their part of `path` or their name.
    """

    root: Path = DEFAULT_ROOT
    path: str = DEFAULT_PATH
    siblings: tuple[str, ...] = DEFAULT_SIBLINGS
    rules: Mapping[str, FolderRule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.root.is_absolute() or ".." in self.root.parts:
            raise LayoutError(f"root {str(self.root)!r} is not an absolute path without '..'")
        for one in self._parts:
            _check_template(one, PATH_FIELDS, f"path {self.path!r}: the part")
        if "{proposal}" not in self.path:
            raise LayoutError(
                f"path {self.path!r} does not contain {{proposal}}: data of several proposals would be mixed"
            )
        if "{" in self._parts[-1]:
            raise LayoutError(f"path {self.path!r} must end with a plain name, such as raw")
        for name in self.siblings:
            check_name(name, "sibling")
        names = (*self._parts[self._first_made :], *self.siblings)
        made = ", ".join(names)
        if len(set(names)) < len(names):
            raise LayoutError(f"of the folders to make ({made}), two have the same name")
        for name, rule in self.rules.items():
            if name not in names:
                raise LayoutError(f"folder {name!r} is not one of the folders to make: {made}")
            _check_template(rule.group, GROUP_FIELDS, f"folder {name!r}: group")
            if not 0o700 <= rule.mode <= 0o7777 or rule.mode & 0o700 != 0o700:
                raise LayoutError(f"folder {name!r}: mode {rule.mode:04o} does not give all rights to its owner (07..)")

    @property
    def _parts(self) -> list[str]:
        return self.path.split("/")

    @property
    def _first_made(self) -> int:
        """The index of the first part that is made."""
        named = ("{proposal}", "{visit}", "{year}")
        return next(number for number, one in enumerate(self._parts) if any(name in one for name in named))

    def _to(self, location: DataLocation, parts: int) -> Path:
        return self.root.joinpath(*(_filled(one, location) for one in self._parts[:parts]))

    def beamline(self, location: DataLocation) -> Path:
        """The folder that must exist; it belongs to `<beamline>-service:<beamline>`."""
        return self._to(location, self._first_made)

    def proposal(self, location: DataLocation) -> Path:
        """The folder that holds all data of the proposal, and of no other proposal."""
        first = next(number for number, one in enumerate(self._parts) if "{proposal}" in one)
        return self._to(location, first + 1)

    def visit(self, location: DataLocation) -> Path:
        """The folder that contains raw and its siblings."""
        return self._to(location, len(self._parts) - 1)

    def raw(self, location: DataLocation) -> Path:
        """Where detectors write."""
        return self._to(location, len(self._parts))

    def process(self, location: DataLocation) -> Path:
        """Where analysis writes; its tools find it by replacing `raw` in the path."""
        return self.visit(location) / "process"

    def sample(self, location: DataLocation) -> Path:
        """The sample's folder below raw; without a sample, raw itself."""
        return self.raw(location) / location.sample

    def folders(self, location: DataLocation) -> list[tuple[Path, FolderRule]]:
        """The folders to make for a location, from the top; raw and the folders below it are last."""
        last = len(self._parts) - 1
        above = [(self._to(location, number + 1), self._rule(number)) for number in range(self._first_made, last)]
        beside = [
            (self.visit(location) / name, self.rules.get(name, self.default_rule(name))) for name in self.siblings
        ]
        raw, sample = self.raw(location), self.sample(location)
        below = [path for path in reversed((sample, *sample.parents)) if raw in path.parents]
        return [*above, *beside, *((path, self._rule(last)) for path in (raw, *below))]

    def _rule(self, number: int) -> FolderRule:
        return self.rules.get(self._parts[number], self.default_rule(self._parts[number]))

    def default_rule(self, name: str) -> FolderRule:
        """The default rule of a part of the path, or of a sibling."""
        return FolderRule(ABOVE_MODE if name in self._parts[self._first_made : -2] else VISIT_MODE)

    def group(self, rule: FolderRule, location: DataLocation, group: str) -> str:
        """The group of a folder with this rule; `group` is the proposal's."""
        return rule.group.format(
            group=group, category=location.category, beamline=location.beamline, proposal=location.proposal
        )


_FIELD = re.compile(r"\{([^{}]*)\}")


def _check_template(template: str, fields: Sequence[str], what: str) -> None:
    for name in _FIELD.findall(template):
        if name not in fields:
            raise LayoutError(f"{what} {template!r} contains {{{name}}}; allowed are {', '.join(fields)}")
    try:
        check_name(_FIELD.sub("x", template), what)
    except NameRefused as error:
        raise LayoutError(str(error)) from error


def _filled(template: str, location: DataLocation) -> str:
    """One folder's name. Raises NameRefused: valid names may together be too long, or a device name of Windows."""
    year = location.visit[:4]
    if "{year}" in template and not (year.isdigit() and len(year) == 4):
        raise NameRefused(f"visit {location.visit!r} does not begin with a year, but the path contains {{year}}")
    names = {
        "category": location.category,
        "beamline": location.beamline,
        "proposal": location.proposal,
        "visit": location.visit,
    }
    return check_name(template.format(**names, year=year), "folder")


# A YAML text, unlike a template or a file's name, begins with one of these fields.
_SETTINGS = re.compile(r"(path|siblings|folders)\s*:")


def layout_from(text_or_path: str, prefix: Path = DEFAULT_ROOT) -> Layout:
    """The layout of a setting: "" for the default, a template with {proposal}, YAML text, or a YAML file's path.

    Raises LayoutError that names the file, the line and the field.
    """
    setting = text_or_path.strip()
    if not setting:
        return Layout(prefix)
    if _SETTINGS.match(setting):
        return _layout("the layout", setting, prefix)
    if "{" in setting:
        return Layout(prefix, setting)
    return _layout(setting, read_text(Path(setting), LayoutError), prefix)


def _wrong_mode(mode: str) -> str:
    return "" if re.fullmatch(r"((0o|0)?[0-7]{3,4})?", mode) else f"mode {mode!r} is not of the form 02770"


@dataclass(frozen=True)
class _RuleEntry:
    mode: Annotated[str, check(_wrong_mode)] = ""
    group: str = ""

    def rule(self, default: FolderRule) -> FolderRule:
        return FolderRule(int(self.mode, 8) if self.mode else default.mode, self.group or default.group)


@dataclass(frozen=True)
class _LayoutFile:
    __pydantic_config__ = FORBID_EXTRA

    path: str = DEFAULT_PATH
    siblings: tuple[Annotated[str, AfterValidator(lambda name: check_name(name, "sibling"))], ...] = DEFAULT_SIBLINGS
    folders: dict[str, _RuleEntry] = field(default_factory=dict)


def _layout(where: str, content: str, prefix: Path) -> Layout:
    document = YamlDocument(where, content, LayoutError)
    if document.empty:
        document.refuse((), "is empty: write path, siblings or folders")
    given = document.validated(_LayoutFile)
    layout = Layout(prefix)

    def changed(at: FieldPath, **changes: Any) -> Layout:
        try:
            return replace(layout, **changes)
        except NameRefused as error:
            document.refuse(at, str(error))

    # Without siblings yet, because the path may end with the name of a default sibling.
    layout = changed(("path",), path=given.path, siblings=())
    layout = changed(("siblings",), siblings=given.siblings)
    for name, entry in given.folders.items():
        rule = entry.rule(layout.default_rule(name))
        layout = changed(("folders", name), rules={**layout.rules, name: rule})
    return layout
