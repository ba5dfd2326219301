"""The demo's session at a Door."""

from __future__ import annotations

import pytest

from deploy.demo.door import MacroFailed
from deploy.demo.session import TRIES, make_elements


class FakeDoor:
    """Its `sar_demo` reports an error so many times."""

    def __init__(self, failing: int) -> None:
        self.failing = failing
        self.macros: list[str] = []
        self.errors: list[str] = []

    def run(self, macro: str) -> None:
        self.macros.append(macro)
        self.errors = ["mot01 does not exist"] if self.macros.count("sar_demo") <= self.failing else []


@pytest.mark.parametrize("failing", [0, 1])
def test_elements_that_sar_demo_did_not_all_create_are_removed_and_created_again(failing: int) -> None:
    door = FakeDoor(failing)
    make_elements(door)  # type: ignore[arg-type]
    assert door.macros == ["sar_demo", "clear_sar_demo"] * failing + ["sar_demo"]


def test_a_sar_demo_that_always_fails_says_why() -> None:
    with pytest.raises(MacroFailed, match="mot01 does not exist"):
        make_elements(FakeDoor(TRIES))  # type: ignore[arg-type]
