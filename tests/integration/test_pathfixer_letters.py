"""Letters that Tango cannot carry, in what PathFixer is told by the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tango

from deploy.demo.stack import Stack
from tests.integration.pathfixer import configure, proxy_of
from tests.tango_system import control_system, refusal


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("pathfixer")) as system:
        system.start_pathfixer()
        yield system


@pytest.fixture
def pathfixer(stack: Stack) -> tango.DeviceProxy:
    proxy = proxy_of(stack)
    for attribute in ("Proposal", "Visit", "Sample"):
        proxy.write_attribute(attribute, "")
    configure(stack)
    return proxy


def test_a_folder_of_such_a_name_is_refused_also_through_a_link(pathfixer: tango.DeviceProxy) -> None:
    pathfixer.Proposal = "20250001"
    raw = Path(pathfixer.Path)
    (raw / "λ").mkdir()
    (raw / "link").symlink_to("λ")
    with pytest.raises(tango.DevFailed) as error:
        pathfixer.Path = str(raw / "link")
    assert refusal(error)[0] == "PathFixer_NameRefused"
    assert "Tango cannot carry" in refusal(error)[1]
    assert pathfixer.Path == str(raw)
    (raw / "ä").mkdir()
    pathfixer.Path = str(raw / "ä")
    assert pathfixer.Path == str(raw / "ä")
