"""Sardana's commands without the defaults that nobody typed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import sardana.macroserver

from taurus_widgets.scanlog.data.commands import _DEFAULTS, as_typed

SCANS = Path(sardana.macroserver.__file__).parent / "macros" / "scan.py"


@pytest.mark.parametrize(
    ("written", "typed"),
    [
        ("mesh mot01 0 1 10 mot02 0 1 10 0.1 False None", "mesh mot01 0 1 10 mot02 0 1 10 0.1"),
        ("mesh mot01 0 1 10 mot02 0 1 10 0.1 True None", "mesh mot01 0 1 10 mot02 0 1 10 0.1 True"),
        ("mesh mot01 0 1 10 mot02 0 1 10 0.1 False True", "mesh mot01 0 1 10 mot02 0 1 10 0.1 False True"),
        ("ascanct mot01 0 10 200 0.01 0.0 None", "ascanct mot01 0 10 200 0.01"),
        ("ascanct mot01 0 10 200 0.01 0.5 None", "ascanct mot01 0 10 200 0.01 0.5"),
        ("timescan 60 0.5 0", "timescan 60 0.5"),
        ("ascan mot01 0 10 20 0.1", "ascan mot01 0 10 20 0.1"),
        ("ascan mot01 0 1 1 0", "ascan mot01 0 1 1 0"),
        ("our_scan False None None", "our_scan False"),
        ("mesh", "mesh"),
        ("None", "None"),
        ("", ""),
    ],
)
def test_only_defaults_are_removed(written: str, typed: str) -> None:
    assert as_typed(written) == typed


def test_the_defaults_are_those_of_the_installed_sardana() -> None:
    # Importing its macros needs a MacroServer, so they are read.
    classes = {node.name: node for node in ast.parse(SCANS.read_text("utf-8")).body if isinstance(node, ast.ClassDef)}
    for name, (count, defaults) in _DEFAULTS.items():
        parameters = next(
            ast.literal_eval(_without_types(statement.value))
            for statement in classes[name].body
            if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "param_def"
        )
        assert len(parameters) == count, name
        assert tuple(str(parameter[2]) for parameter in parameters[-len(defaults) :]) == defaults, name
        assert parameters[-len(defaults) - 1][2] is None


def _without_types(parameters: ast.expr) -> ast.expr:
    """The names of types as text; Optional, which stands for a default of None, as that text."""
    for node in ast.walk(parameters):
        if isinstance(node, ast.List) and len(node.elts) == 4 and not isinstance(node.elts[1], ast.List):
            optional = isinstance(node.elts[2], ast.Name)
            node.elts[1] = ast.Constant("")
            node.elts[2] = ast.Constant("None") if optional else node.elts[2]
            node.elts[3] = ast.Constant("")
    return parameters
