"""One name, one class, and one constant: a reader who searches for one finds it."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator

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
    "scizoo",
    "deploy",
]


def places_of(names: Callable[[ast.stmt], Iterator[str]]) -> dict[str, list[str]]:
    """The names that several files define, each with these files."""
    places: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(file.read_text("utf-8")).body:
                for name in names(node):
                    places[name].append(str(file.relative_to(ROOT)))
    assert places
    return {name: files for name, files in places.items() if len(files) > 1}


def classes(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        yield node.name


def constants(node: ast.stmt) -> Iterator[str]:
    """The public constants. A type variable of one letter concerns only its module."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    for target in targets:
        if isinstance(target, ast.Name) and target.id.isupper() and len(target.id) > 1 and target.id[0] != "_":
            yield target.id


def test_no_two_classes_have_the_same_name() -> None:
    assert places_of(classes) == {}


def test_no_two_constants_have_the_same_name() -> None:
    """Equal constants are imported; different ones name their subject."""
    assert places_of(constants) == {}
