"""The window never waits for Tango, whatever hangs."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import tango
from taurus.external.qt import Qt

from taurus_widgets.scidog.entries.model import NAME, NOW
from taurus_widgets.scidog.window import ScidogEditor
from tests.ui.scidog.conftest import Beamline, Hand
from tests.ui.scidog.test_browser import Tree

CALLS = (
    *("ping", "command_inout", "read_attribute", "read_attributes", "write_attribute", "attribute_list_query_ex"),
    *("get_attribute_list", "subscribe_event", "unsubscribe_event", "set_timeout_millis"),
)


@pytest.fixture
def callers(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each thread has called Tango."""
    found: Counter[str] = Counter()

    def watched(call: Any) -> Any:
        def noted(*arguments: Any, **options: Any) -> Any:
            found[threading.current_thread().name] += 1
            return call(*arguments, **options)

        return noted

    for name in CALLS:
        monkeypatch.setattr(tango.DeviceProxy, name, watched(getattr(tango.DeviceProxy, name)))
    return found


def test_all_calls_of_tango_are_in_other_threads(callers: Counter[str], editor: ScidogEditor, hand: Hand) -> None:
    callers.clear()  # of the fixtures
    tree = Tree(hand)
    tree.open("b311a-o", "opt / mono-01")
    tree.index("b311a-o", "opt / mono-01", "Energy")
    hand.type_into("Cold finger", NAME, "Finger")
    hand.answer(lambda dialog: dialog.accept())
    editor.save()
    hand.qtbot.waitUntil(lambda: editor.draft is not None and not editor.draft.changed)
    hand.answer(lambda dialog: hand.qtbot.waitUntil(lambda: dialog.changes.rowCount() > 0))
    editor.showHistory()
    hand.qtbot.waitUntil(lambda: bool(hand.done))
    hand.choose("wrong")
    hand.qtbot.waitUntil(lambda: hand.text("Flux", NOW) == "not read")
    assert callers.total() > 10
    assert callers[threading.main_thread().name] == 0


@pytest.fixture
def stopped(beamline: Beamline, editor: ScidogEditor) -> Iterator[None]:
    """All devices hang: their server takes connections and never answers."""
    os.kill(beamline.devices.pid, signal.SIGSTOP)
    yield
    os.kill(beamline.devices.pid, signal.SIGCONT)


@pytest.mark.usefixtures("stopped")
def test_devices_that_hang_say_so_and_all_else_works(editor: ScidogEditor, hand: Hand) -> None:
    hand.qtbot.waitUntil(lambda: hand.text("Sample temperature", NOW) == "not read")
    tip = hand.index("Sample temperature", NOW).data(Qt.Qt.ToolTipRole)
    assert "no answer within" in tip or "has not answered an earlier read" in tip
    hand.type_into("Cold finger", NAME, "Finger")
    hand.answer(lambda dialog: dialog.accept())
    editor.save()
    hand.qtbot.waitUntil(lambda: editor.draft is not None and not editor.draft.changed)
