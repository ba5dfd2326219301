"""One name, one class: a reader who searches for a class finds one."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.paths import ROOT

PACKAGES = [
    "scifish",
    "scifly",
    "sdm",
    "tango_servers",
    "sardana_recorders",
    "macros",
    "ingest",
    "taurus_widgets",
    "deploy",
]


def test_no_two_classes_have_the_same_name() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(file.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(str(file.relative_to(ROOT)))
    assert places
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
