"""What the commands that open a window share: the display, signals, and an end without a crash of Tango's threads.

taurus and sardana import the commands whenever they run, so Qt is imported late.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from taurus.external.qt import Qt


def check_display(otherwise: str = "") -> None:
    """Check for a display: without one Qt aborts with a core file. `otherwise` says what else a person can do."""
    if sys.platform == "linux" and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        raise click.ClickException(f"There is no display here (DISPLAY is not set). {otherwise}".strip())


def run_window(make: Callable[[], Qt.QWidget], dark: bool) -> int:
    """Open the window that `make` returns, and run until it closes. Returns the exit status."""
    from taurus_widgets.qt.application import makeApplication

    # Without a hook of one's own PyQt ends the program at any exception in a slot.
    sys.excepthook = lambda *error: traceback.print_exception(*error)
    app = makeApplication(dark)
    notifier = _end_on_signals(app)
    window = make()
    window.show()
    status = int(app.exec_())
    window.close()
    notifier.setEnabled(False)
    return status


def end(status: int) -> NoReturn:
    """Exit without Python's shutdown, during which threads of Tango that still run may crash."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end_on_signals(app: Qt.QApplication) -> Qt.QSocketNotifier:
    """Let Ctrl-C and SIGTERM close the window. Keep a reference to the returned notifier."""
    from taurus.external.qt import Qt

    # Python handles a signal only when it runs next, and while Qt waits for events it does
    # not: so each signal also writes to a socket that Qt listens to.
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    notifier = Qt.QSocketNotifier(reading.fileno(), Qt.QSocketNotifier.Read, app)
    notifier.activated.connect(lambda: reading.recv(64))
    signal.set_wakeup_fd(writing.detach())

    def quit_app(number: int, frame: FrameType | None) -> None:
        # By the event loop: a call of quit before the loop runs would do nothing.
        Qt.QTimer.singleShot(0, app.quit)

    signal.signal(signal.SIGINT, quit_app)
    signal.signal(signal.SIGTERM, quit_app)
    return notifier
