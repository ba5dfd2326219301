"""The command `scanlog`, also as `taurus scanlog` and `sardanactl scanlog`.

taurus and sardana import this module whenever they run, so Qt and rich are imported late.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import click

from ingest.scicat import NotAllowed, SciCat, SciCatError
from taurus_widgets.program import check_display, end, run_window
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.feed import problem_text

LOGIN_CHECK_SECONDS = 3.0
"""Time-out of the check of the password before the window opens."""


@click.command("scanlog", context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--url",
    envvar="SCIZOO_SCICAT_URL",
    show_envvar=True,
    help="Address of SciCat, for example https://scicat.example.org",
)
@click.option(
    "--username", envvar="SCIZOO_SCICAT_USERNAME", show_envvar=True, help="Without it, only public data is shown."
)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password, readable by its owner only. Or set SCIZOO_SCICAT_PASSWORD. Without either, it is "
    "asked for.",
)
@click.option("--proposal", default="", help="Show the datasets of this proposal only.")
@click.option(
    "--rows",
    default=200,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="Number of rows with --terminal.",
)
@click.option(
    "--column",
    "paths",
    multiple=True,
    metavar="GROUP/NAME",
    help='Additional metadata column, for example "Machine/Ring current". Can be repeated.',
)
@click.option("--elogy-url", envvar="SCIZOO_ELOGY_URL", show_envvar=True, help="Address of Elogy, to export rows.")
@click.option(
    "--door",
    envvar="SCIZOO_DOOR",
    show_envvar=True,
    default="",
    help="Sardana Door, for example door/cosaxs/1. Its scans are shown as soon as they start.",
)
@click.option(
    "--pathfixer",
    envvar="SCIZOO_PATHFIXER",
    show_envvar=True,
    default="",
    help="PathFixer device that provides the current proposal and visit for the filter.",
)
@click.option(
    "--frontend",
    envvar="SCIZOO_SCICAT_FRONTEND",
    show_envvar=True,
    default="",
    help="Address of SciCat's web pages, for example https://scicat.example.org. By default guessed from --url.",
)
@click.option(
    "--beamline",
    envvar="SCIZOO_BEAMLINE",
    show_envvar=True,
    default="",
    help="Beamline whose column layouts are used and saved. By default the beamline of the newest datasets.",
)
@click.option("--dark", is_flag=True, help="Light text on a dark background, for a desktop that does not request it.")
@click.option("--terminal", is_flag=True, help="Print the table once in the terminal and open no window.")
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
    """Show the datasets in SciCat, newest first; new ones appear as they arrive.

    There is no option for the password: other users of the machine can see a command's options.
    """
    if not url:
        raise click.UsageError("The address of SciCat is missing. Give --url, or set SCIZOO_SCICAT_URL.")
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
            check_display("Use --terminal for a table.")
            asked = "" if password else username or ""
            end(_window(scicat, asked, proposal, paths, elogy_url or "", door, pathfixer, frontend, beamline, dark))
    except ImportError as error:
        raise click.ClickException(f"{error}; run in a clone of SciZoo: pip install '.[gui]'") from error


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
    """ "" if there is none, or if the window will ask for it."""
    if file is not None:
        if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise click.UsageError(f"{file} can be read by others. Run: chmod 600 {file}")
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
    """End the command if the password is wrong. If SciCat is not available, the window reports that."""
    if not username:
        return
    try:
        SciCat(url, username, password, timeout=LOGIN_CHECK_SECONDS).login()
    except NotAllowed as error:
        raise click.ClickException(f"{url} refuses the user {username!r}: name or password is wrong.") from error
    except (SciCatError, ValueError, KeyError):
        return  # the window's status bar, or the terminal's error, says what is wrong


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
    """Open the window and run until it closes. `asked` is the user who must log in with its dialog, or ""."""
    from taurus_widgets.scanlog import ScanLog

    def make() -> ScanLog:
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
        return log

    return run_window(make, dark)
