"""The tests' own Sardana: one that a test has left broken is restarted once, and that is reported."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tango

from tests import ran_on
from tests.paths import ROOT
from tests.servers.sardana import FAILED, Sardana

SPOILT = "RuntimeError: Callback <bound method MeasurementGroup.valueBufferChanged ...> already reg. on expchan/1 EG"


def ended(name: str, failed: bool = False) -> pytest.Item:
    return SimpleNamespace(nodeid=name, stash={FAILED: failed})  # type: ignore[return-value]


class Fake(Sardana):
    def __init__(self, running: bool = True) -> None:
        self.said, self._errors, self.restarts = [], [], 0
        self.process = SimpleNamespace(running=running)  # type: ignore[assignment]
        self.doors = [SimpleNamespace(proxy=SimpleNamespace(state=lambda: tango.DevState.ON))]  # type: ignore[list-item]

    def restart(self) -> None:
        self.restarts += 1


@pytest.fixture(autouse=True)
def incidents(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    found: set[str] = set()
    monkeypatch.setattr(ran_on, "remarks", found)
    return found


def test_a_working_one_is_left_alone(incidents: set[str]) -> None:
    sardana = Fake()
    sardana._hear("error", "the scan failed for a reason of its own")
    sardana.mend(ended("test_x"))
    assert (sardana.restarts, incidents) == (0, set())


def test_a_spoilt_measurement_group_costs_one_restart_and_is_reported(incidents: set[str]) -> None:
    sardana = Fake()
    sardana._hear("error", SPOILT)
    sardana.mend(ended("test_x"))
    sardana.mend(ended("test_y"))
    assert sardana.restarts == 1
    (line,) = incidents
    assert line.startswith("Sardana was started anew after test_x: its measurement group could not be used any more")


def test_one_that_has_ended_is_started(incidents: set[str]) -> None:
    sardana = Fake(running=False)
    sardana.mend(ended("test_x"))
    assert (sardana.restarts, incidents) == (1, {"Sardana was started anew after test_x: it had ended"})


def test_one_whose_test_has_failed_is_restarted(incidents: set[str]) -> None:
    sardana = Fake()
    sardana.mend(ended("test_x", failed=True))
    sardana.mend(ended("test_y"))
    assert sardana.restarts == 1
    assert len(incidents) == 1


@pytest.mark.long
def test_a_failure_is_noted_for_what_a_fixture_does_after_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(
        "from tests.conftest import pytest_runtest_makereport\n"
        "from tests.servers.sardana import FAILED\n"
        "import pytest\n"
        "@pytest.fixture(autouse=True)\n"
        "def noted(request):\n"
        "    yield\n"
        "    print('noted', request.node.name, request.node.stash[FAILED])\n"
    )
    pytester.makepyfile("def test_good(): pass\ndef test_bad(): assert False")
    lines = pytester.runpytest_subprocess("-s", "-p", "no:cacheprovider").stdout.str()
    assert "noted test_good False" in lines
    assert "noted test_bad True" in lines
