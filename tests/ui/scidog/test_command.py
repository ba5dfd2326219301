"""The command `scidog`, in processes of its own, and the panel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from deploy.demo.beamline import CONFIGURATIONS
from deploy.demo.processes import Processes
from deploy.demo.stack import SCIDOG, Stack
from tests.paths import ROOT
from tests.servers.tango_system import control_system
from tests.ui.scidog import access_control
from tests.ui.window.test_scanlog_command import handles_signals
from tests.waiting import PATIENCE

COMMAND = str(Path(sys.executable).with_name("scidog"))


@pytest.mark.parametrize("device", [[], ["tango://127.0.0.1:9/b311a-e/ctl/scidog-01"]])
def test_it_starts_without_tango_and_ends_at_a_signal(tmp_path: Path, device: list[str]) -> None:
    variables = {**os.environ, "TANGO_HOST": "127.0.0.1:9", "XDG_CONFIG_HOME": str(tmp_path)}
    with Processes(tmp_path / "logs") as processes:
        window = processes.start("scidog", [COMMAND, *device], variables)
        window.wait_for(lambda: handles_signals(window.pid))
        os.kill(window.pid, signal.SIGTERM)
        assert window.wait(PATIENCE) == 0
        assert "Traceback" not in window.text


def test_without_a_display_it_says_so(tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "QT_QPA_PLATFORM")}
    variables.pop("WAYLAND_DISPLAY", None)
    done = subprocess.run([COMMAND], env=variables, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "There is no display here" in done.stderr


def test_it_is_a_command_of_taurus() -> None:
    taurus = str(Path(sys.executable).with_name("taurus"))
    done = subprocess.run([taurus, "scidog", "--help"], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0
    assert "Edit what is recorded" in done.stdout


SEEN = """
    import sys, time
    from taurus.external.qt import Qt
    from taurus_widgets.panel import ScidogPanel
    from taurus_widgets.qt.application import makeApplication

    app = makeApplication()
    panel = ScidogPanel()
    panel.setModel(sys.argv[1])
    panel.show()
    deadline = time.monotonic() + {patience}
    while not (panel.draft is not None and panel.session.overview) and time.monotonic() < deadline:
        app.processEvents()
        time.sleep(0.01)
    print("DRAFT", panel.draft.name if panel.draft else panel.where.text())
    panel.session.change(lambda draft: draft.remove([draft.rows[0].key]))
    print("SAVE", panel.saveButton.isEnabled(), panel.saveButton.toolTip())
    print("NOTICE", panel.notice.label.text())
    panel._suspend()
    sys.stdout.flush()
    import os
    os._exit(0)
"""


def seen(stack: Stack, folder: Path, device: str) -> dict[str, str]:
    """What the panel shows, in a process of its own: Tango's library asks for access only once."""
    program = folder / "seen.py"
    program.write_text(textwrap.dedent(SEEN).format(patience=PATIENCE), "utf-8")
    variables = {**os.environ, **stack.env, "PYTHONPATH": str(ROOT)}
    variables.pop("SUPER_TANGO", None)
    command = [sys.executable, str(program), device]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=3 * PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return {name: rest for name, _, rest in lines if name.isupper()}


def test_who_may_only_read_is_told_why(tmp_path: Path) -> None:
    with control_system(tmp_path, "pytango-db") as stack:
        stack.start_scidog("127.0.0.1:9092")
        found = seen(stack, tmp_path, SCIDOG)  # as a panel, without access control
        assert found["DRAFT"] == "saxs"
        assert found["SAVE"].startswith("True")
        stack.start_server(
            f"{access_control.SERVER}/1",
            {access_control.NAME: ("TangoAccessControl", {})},
            [sys.executable, "-m", "tests.ui.scidog.access_control"],
        )
        stack.db.put_property("CtrlSystem", {"Services": [access_control.SERVICE]})
        found = seen(stack, tmp_path, SCIDOG)
        assert found["DRAFT"] == "saxs"
        assert found["SAVE"].startswith("False")
        assert "Tango's access control gives" in found["NOTICE"]
        assert SCIDOG in found["NOTICE"]
        properties = stack.db.get_device_property(SCIDOG, "Config.saxs")
        assert list(properties["Config.saxs"]) == list(CONFIGURATIONS["saxs"])
