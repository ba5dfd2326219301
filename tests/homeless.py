"""An account of which the machine knows nothing, as a container's."""

from __future__ import annotations

import os

import pytest


def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No home folder and none of the folders of the XDG specification, until the end of the test."""
    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 54321)
