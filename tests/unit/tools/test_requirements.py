"""`pip install` without an extra is enough for scifish, sdm and the device servers, and installs no more than that."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

MODULES = {"pytango": "tango", "pyyaml": "yaml", "confluent-kafka": "confluent_kafka"}
"""Where a module has another name than its distribution."""

OURS = {"scifish", "scifly", "sdm", "duo", "tango_servers"}

OPTIONAL = {"matplotlib", "PIL", "igor2", "jsonschema_rs"}
"""Imported where they are used: for pictures, for files of Igor, and to check messages against their schema."""

OF_MACROS = ROOT / "scifish" / "recording" / "spock.py"
"""Loaded by macros only, so a MacroServer is there."""


def required() -> set[str]:
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg")
    names = [re.split(r"[<>=]", line)[0] for line in config["options"]["install_requires"].split("\n") if line]
    found = {MODULES.get(name, name) for name in names}
    return found | {"pydantic_core"} if "pydantic" in found else found  # a part of it


def imported(module: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    return found - set(sys.stdlib_module_names)


@pytest.mark.parametrize("part", sorted(OURS))
def test_it_imports_only_what_is_installed_without_an_extra(part: str) -> None:
    modules = [module for module in (ROOT / part).rglob("*.py") if module != OF_MACROS]
    found = {name for module in modules for name in imported(module)}
    assert found - OURS - OPTIONAL <= required()


def test_neither_sardana_nor_taurus_nor_qt_is_installed_without_an_extra() -> None:
    used = {name for part in OURS for module in (ROOT / part).rglob("*.py") for name in imported(module)}
    assert required() <= used
    assert not required() & {"sardana", "taurus", "PyQt5"}
