"""Fixtures of the tests with device servers. Each module starts its own control system, in a fixture `stack`."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.demo.stack import Stack


@pytest.fixture
def data(stack: Stack) -> Path:
    """The root of the data that PathFixer makes folders in."""
    return stack.folder / "data"
