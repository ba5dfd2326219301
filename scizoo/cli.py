"""The command `scizoo`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Any

from scizoo.sardana_folders import FoldersNotFound, sardana_folders

MAX_PART_SECONDS = 600.0

SCICOW_SETTINGS = Path("/etc/scizoo/scicow.yaml")
"""Where docs/how-to/run-scicow.md puts the settings of SciCow."""


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0, 1 if something is wrong, 2 for wrong usage."""
    args = _parser().parse_args(argv)
    try:
        status = int(args.command(args))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # of `| head`: nobody reads the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def run() -> None:
    """The program. It does not wait for hanging calls of Tango, Kafka or a disk: that could take minutes."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scizoo", description="SciZoo for Sardana and Tango, as a whole.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_doctor(commands)
    paths = commands.add_parser(
        "paths",
        help="print the folders for RecorderPath and MacroPath of the MacroServer",
        description="Print the folders of this installation that belong into the properties RecorderPath and MacroPath "
        "of the MacroServer.",
    )
    paths.add_argument("property", nargs="?", choices=["RecorderPath", "MacroPath"], help="print this folder alone")
    paths.set_defaults(command=_paths)
    return parser


def _add_doctor(commands: Any) -> None:
    doctor = commands.add_parser(
        "doctor",
        help="check a beamline, part by part, and print what to do",
        description="Check the beamline of this machine, part by part, and print what works and what to do next. It "
        "only reads, and may run at any time, as any account. The exit status is 1 if a part is wrong, else 0.",
        epilog="The settings come from the YAML file named by SCIFISH_CONFIG, else from the beamline's SciDog "
        "(TANGO_HOST, SCIDOG_DEVICE).",
    )
    doctor.add_argument(
        "--scicow",
        type=Path,
        metavar="FILE",
        help=f"settings of SciCow, to check SciCow and SciCat too (default: {SCICOW_SETTINGS}, where that exists)",
    )
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.add_argument(
        "--timeout",
        type=_seconds,
        default=20.0,
        metavar="SECONDS",
        help="maximum duration of each part; the parts are checked in parallel (default: 20)",
    )
    doctor.set_defaults(command=_doctor)


def _doctor(args: argparse.Namespace) -> int:
    from scizoo.doctor import report  # `scizoo paths` does without Tango and Kafka
    from scizoo.doctor.examination import examine

    if args.scicow is not None and _is_missing(args.scicow):
        print(f"scizoo: --scicow {args.scicow}: this file does not exist", file=sys.stderr)
        return 2
    scicow = args.scicow or (None if _is_missing(SCICOW_SETTINGS) else SCICOW_SETTINGS)
    logging.disable(logging.WARNING)  # what is wrong is in the report
    found = examine(args.timeout, scicow)
    print(report.as_json(found) if args.json else report.as_text(found))
    return 1 if found.wrong else 0


def _is_missing(file: Path) -> bool:
    """Whether it does not exist. One that this account may not see exists."""
    try:
        file.stat()
    except PermissionError:
        return False
    except OSError:
        return True
    return False


def _paths(args: argparse.Namespace) -> int:
    try:
        folders = sardana_folders()
    except FoldersNotFound as error:
        print(f"scizoo: {error}", file=sys.stderr)
        return 1
    if args.property:
        print(folders[args.property])
    else:
        print("\n".join(f"{name + ':':13} {folder}" for name, folder in folders.items()))
    return 0


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= MAX_PART_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, {MAX_PART_SECONDS:g} at most")
    return found


if __name__ == "__main__":
    run()
