"""Reads settings from a YAML file, for a machine without a Tango database.

The names are those of SciDog's properties, so the same checks apply. Mistakes are reported with their lines in
the file. docs/scifish.example.yaml is an example.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import replace
from pathlib import Path

import yaml

from scifish.settings.entries import ConfigurationLoader
from scifish.settings.model import BEAMLINE_NAME, CONFIG_PREFIX, PROPERTIES, Settings, SettingsError
from scifish.settings.properties import settings_from_properties

MULTILINE_PROPERTIES = ("alwaysconfigs",)
"""Properties with several lines, in lower case."""


def read_settings_file(path: Path) -> Settings:
    """The settings in a YAML file; `problems` has the mistakes for which a default is in use.

    SettingsError, with the line if there is one, if the file does not exist, is not YAML, or names no beamline.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the settings {path} cannot be read: {_why(error)}") from error
    try:
        reader = _SettingsFileReader(text)
        properties = reader.properties()
    except (
        yaml.YAMLError,
        RecursionError,
        ValueError,
        TypeError,
    ) as error:  # the latter two: values that JSON cannot carry
        # The start of an incomplete element: its end is missing.
        mark = getattr(error, "context_mark", None) or getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(
            f"{path}{where}: {getattr(error, 'problem', None) or f'not YAML that can be used: {error}'}"
        ) from error
    beamline = next((lines[0] for name, lines in properties.items() if name.lower() == "beamline"), "")
    if not BEAMLINE_NAME.fullmatch(beamline):
        raise SettingsError(
            f"{path}: Beamline is {beamline!r}; give it a line such as 'Beamline: lab', "
            "a short name of letters, digits, '.', '_' and '-'"
        )
    found = settings_from_properties("", properties)
    return replace(found, file=str(path), problems=(*reader.problems, *found.problems))


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"


class _SettingsFileReader:
    """Converts the file to properties with lines, as in the Tango database."""

    def __init__(self, text: str) -> None:
        self._loader = ConfigurationLoader(text)
        self.problems: list[str] = []

    def properties(self) -> dict[str, list[str]]:
        root = self._loader.get_single_node()
        found: dict[str, list[str]] = {}
        if root is None:
            return found
        if not isinstance(root, yaml.MappingNode):
            raise _wrong(root, "not of the form 'Name: value'")
        seen: dict[str, int] = {}
        for key, value in root.value:
            for name, node in self._named(key, value):
                line = key.start_mark.line + 1
                if (first := seen.setdefault(name.lower(), line)) != line:
                    raise _wrong(key, f"{name} is also on line {first}: delete one of them")
                found[name] = self._lines(name, node)
        return found

    def _named(self, key: yaml.Node, value: yaml.Node) -> list[tuple[str, yaml.Node]]:
        """One property, or the configurations in `Config: {saxs: ...}`."""
        name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
        if name.lower() == CONFIG_PREFIX.lower().rstrip("."):
            if value.tag == "tag:yaml.org,2002:null":  # all configurations are commented out
                return []
            if not isinstance(value, yaml.MappingNode):
                raise _wrong(value, "Config: not of the form {saxs: [...], waxs: [...]}")
            return [(f"{CONFIG_PREFIX}{inner.value}", entries) for inner, entries in value.value]
        if not name.lower().startswith(CONFIG_PREFIX.lower()) and name.lower() not in map(str.lower, PROPERTIES):
            near = difflib.get_close_matches(name, PROPERTIES, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else f"; allowed are {', '.join(PROPERTIES)}"
            self.problems.append(f"line {key.start_mark.line + 1}: {name!r} is not known and is ignored{hint}")
            return []
        return [(name, value)]

    def _lines(self, name: str, node: yaml.Node) -> list[str]:
        if name.lower().startswith(CONFIG_PREFIX.lower()):
            return self._entries(name, node)
        values = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(value, yaml.ScalarNode) for value in values):
            raise _wrong(node, f"{name}: not a plain text")
        texts = ["" if value.tag == "tag:yaml.org,2002:null" else str(value.value) for value in values]
        return texts if name.lower() in MULTILINE_PROPERTIES else [",".join(texts)]

    def _entries(self, name: str, node: yaml.Node) -> list[str]:
        """The lines of a configuration, with empty lines before them, so that mistakes have the file's line numbers."""
        if isinstance(node, yaml.ScalarNode):  # as in jive, under `Config.saxs: |`
            return [""] * (node.start_mark.line + (node.style in ("|", ">"))) + str(node.value).splitlines()
        if not isinstance(node, yaml.SequenceNode):
            raise _wrong(node, f"{name}: not a list of '- {{name: ..., source: ...}}'")
        lines: list[str] = []
        for item in node.value:
            lines += [""] * (item.start_mark.line - len(lines))
            entry = self._loader.construct_document(item)
            text = entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False, default=str)
            lines.append(text if text.lstrip().startswith(("- ", "{")) else f"- {text}")
        return lines


def _wrong(node: yaml.Node, why: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=why, problem_mark=node.start_mark)
