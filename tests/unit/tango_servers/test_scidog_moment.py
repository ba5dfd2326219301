"""The answer of a SciDog command is of one moment, even if a property is changed meanwhile."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from scifish.settings import Settings
from tango_servers.SciDog import SciDog


def properties_named(name: str) -> SimpleNamespace:
    """The properties if the only configuration has this name, which is also the unit of its only entry."""
    line = f"- {{name: Ring current, source: a/b/c/d, unit: {name}}}"
    settings = Settings(beamline="lab", configs={name: (line,)}, active_config=name, max_array_size=len(name))
    return SimpleNamespace(settings=settings, used=settings)


class Changing:
    """A SciDog whose properties change with each read."""

    _content = SciDog._content

    def __init__(self) -> None:
        self.looks = 0

    def _refresh(self) -> None: ...

    @property
    def _view(self) -> SimpleNamespace:
        self.looks += 1
        return properties_named("mA" if self.looks % 2 else "MA_")


@pytest.mark.parametrize("which", ["", "ma"])
def test_entries_and_settings_are_of_the_same_moment(which: str) -> None:
    settings, entries, problems = Changing()._content(which)  # type: ignore[misc]
    assert ([entry.unit for entry in entries], settings.max_array_size, problems) == (["mA"], 2, [])
