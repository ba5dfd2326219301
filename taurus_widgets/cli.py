"""The command `scanlog`, also as `taurus scanlog` and `sardanactl scanlog`.

taurus and sardana import this module whenever they run, so Qt and rich are imported late.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import click

from ingest.scicat import NotAllowed, SciCat, SciCatError
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.feed import problem_text

if TYPE_CHECKING:
    from taurus.external.qt import Qt

LOGIN_CHECK_SECONDS = 3.0
"""Seconds for finding out, before the window opens, whether the password is right."""


@click.command("scanlog", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url", envvar="SCIZOO_SCICAT_URL", show_envvar=True, help="SciCat's address, as https://scicat.example.org"
)
@click.option(
    "--username", envvar="SCIZOO_SCICAT_USERNAME", show_envvar=True, help="Without one, only public data is seen."
)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with the password in it, readable by its owner only. Or set SCIZOO_SCICAT_PASSWORD. Else it is asked "
    "for.",
)
@click.option("--proposal", default="", help="Show the datasets of this proposal only.")
@click.option(
    "--rows",
    default=200,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="With --terminal: so many.",
)
@click.option(
    "--column",
    "paths",
    multiple=True,
    metavar="GROUP/NAME",
    help='A further column of the metadata, as "Machine/Ring current". May be given again.',
)
@click.option("--elogy-url", envvar="SCIZOO_ELOGY_URL", show_envvar=True, help="Elogy's address, to export rows to.")
@click.option(
    "--door",
    envvar="SCIZOO_DOOR",
    show_envvar=True,
    default="",
    help="A Sardana Door, as door/cosaxs/1: its scans are shown as soon as they start.",
)
@click.option(
    "--pathfixer",
    envvar="SCIZOO_PATHFIXER",
    show_envvar=True,
    default="",
    help="A PathFixer device: the current proposal and visit of the filter are its.",
)
@click.option(
    "--frontend",
    envvar="SCIZOO_SCICAT_FRONTEND",
    show_envvar=True,
    default="",
    help="Address of SciCat's own pages, as https://scicat.example.org. Guessed from that of SciCat where not given.",
)
@click.option(
    "--beamline",
    envvar="SCIZOO_BEAMLINE",
    show_envvar=True,
    default="",
    help="Whose columns and layouts are shown and kept. Without it, that of the newest datasets.",
)
@click.option("--dark", is_flag=True, help="Light text on dark, where the desktop does not say so itself.")
@click.option("--terminal", is_flag=True, help="Print the table here once, and open no window.")
def scanlog_cmd(
    url: str | None,
    username: str | None,
    password_file: Path | None,
    proposal: str,
    rows: int,
    paths: tuple[str, ...],
    elogy_url: str | None,
    door: str,
    pathfixer: str,
    frontend: str,
    beamline: str,
    dark: bool,
    terminal: bool,
) -> None:
    """The scan log: the datasets in SciCat, newest first, as they come.

    The password is never an option, since others on the machine can see those.
    """
    if not url:
        raise click.UsageError("Which SciCat? Give --url, or set SCIZOO_SCICAT_URL.")
    if "://" not in url:
        raise click.UsageError(f"--url needs the whole address: http://{url} or https://{url}")
    if elogy_url and "://" not in elogy_url:
        raise click.UsageError(f"--elogy-url needs the whole address: http://{elogy_url} or https://{elogy_url}")
    if frontend and not frontend.startswith(("http://", "https://")):
        raise click.UsageError(f"--frontend needs the whole address: https://{frontend}")
    columns = _columns(paths)
    password = _password(username or "", password_file, terminal)
    known = username or "" if password else ""
    _check_login(url, known, password)
    scicat = SciCat(url, known, password)
    try:
        if terminal:
            _print(scicat, columns, proposal, rows)
        else:
            _check_display()
            asked = "" if password else username or ""
            _end(_window(scicat, asked, proposal, paths, elogy_url or "", door, pathfixer, frontend, beamline, dark))
    except ImportError as error:
        raise click.ClickException(f"{error}; say: pip install 'sardana-scizoo[gui]'") from error


def main() -> None:
    """The command `scanlog`."""
    scanlog_cmd(prog_name="scanlog")


def _columns(paths: tuple[str, ...]) -> list[cols.LogColumn]:
    columns = cols.default_columns()
    try:
        columns[-1:-1] = [cols.metadata_column(path) for path in paths]
    except ValueError as error:
        raise click.UsageError(f"--column: {error}") from error
    return columns


def _password(username: str, file: Path | None, terminal: bool) -> str:
    """ "" if there is none, or the window is to ask for it."""
    if file is not None:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise click.UsageError(f"{file} can be read by others. Say: chmod 600 {file}")
        return file.read_text("utf-8").strip()
    password = os.environ.get("SCIZOO_SCICAT_PASSWORD", "")
    if terminal and username and not password:
        if not sys.stdin.isatty():
            raise click.UsageError(
                f"No password for {username!r}: give --password-file, or set SCIZOO_SCICAT_PASSWORD."
            )
        password = str(click.prompt(f"Password of {username} in SciCat", hide_input=True, err=True))
    return password


def _check_login(url: str, username: str, password: str) -> None:
    """A wrong password ends the command at once; with SciCat away the window opens and says so."""
    if not username:
        return
    try:
        SciCat(url, username, password, timeout=LOGIN_CHECK_SECONDS).login()
    except NotAllowed as error:
        raise click.ClickException(f"{url} refuses the user {username!r}: name or password are wrong.") from error
    except (SciCatError, ValueError, KeyError):
        return  # the window's status bar, or the terminal's error, says what is wrong


def _check_display() -> None:
    """Qt would abort, with a core file, where there is no display."""
    if sys.platform == "linux" and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        raise click.ClickException("There is no display here (DISPLAY is not set). Use --terminal for a table.")


def _print(scicat: SciCat, columns: list[cols.LogColumn], proposal: str, rows: int) -> None:
    from taurus_widgets.scanlog.terminal import read_and_print

    try:
        count = read_and_print(scicat, columns, proposal, rows)
    except (SciCatError, ValueError, KeyError) as error:
        raise click.ClickException(f"{problem_text(error)}: {scicat.base_url}") from error
    if not count:
        click.echo(f"No datasets{f' of proposal {proposal}' if proposal else ''} are in {scicat.base_url}.")


def _window(
    scicat: SciCat,
    asked: str,
    proposal: str,
    paths: tuple[str, ...],
    elogy_url: str,
    door: str,
    pathfixer: str,
    frontend: str,
    beamline: str,
    dark: bool,
) -> int:
    """`asked` is who is to log in with the window's dialog, "" for nobody."""
    from taurus_widgets.qt.application import makeApplication
    from taurus_widgets.scanlog import ScanLog

    # Without a hook of one's own PyQt ends the program at any exception in a slot.
    sys.excepthook = lambda *error: traceback.print_exception(*error)
    app = makeApplication(dark)
    notifier = _end_on_signals(app)
    log = ScanLog()
    log.exporting.setElogy(elogy_url)
    log.setFrontend(frontend)
    if beamline:
        log.columns.setBeamline(beamline)
    log.login.expect(asked)
    for path in paths:
        log.addColumn(path)
    log.resize(1280, 800)
    log.setCatalogue(scicat, proposal)
    log.setDoor(door)
    log.setPathFixer(pathfixer)
    log.show()
    status = int(app.exec_())
    log.close()
    notifier.setEnabled(False)
    return status


def _end(status: int) -> NoReturn:
    """At once: Tango's own threads may be in the midst of something, and crash where Python is taken down meanwhile."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _end_on_signals(app: Qt.QApplication) -> Qt.QSocketNotifier:
    """Let Ctrl-C and SIGTERM close the window. Keep what is returned."""
    from taurus.external.qt import Qt

    # Python handles a signal only when it runs next, and while Qt waits for events it does
    # not: so each signal also writes to a socket that Qt listens to.
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    notifier = Qt.QSocketNotifier(reading.fileno(), Qt.QSocketNotifier.Read, app)
    notifier.activated.connect(lambda: reading.recv(64))
    signal.set_wakeup_fd(writing.detach())

    def end(number: int, frame: FrameType | None) -> None:
        # By the event loop: a call of quit before the loop runs would do nothing.
        Qt.QTimer.singleShot(0, app.quit)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    return notifier
