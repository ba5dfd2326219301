"""The command `scifly`: records existing files afterwards, or only lists what it would record."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import re
import signal
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scifish import __version__
from scifish.message import Message, as_metadata, iso, leaves
from scifish.message.identity import files_uuid
from scifish.recording.session import NotRecorded, recording_session
from scifish.settings import BEAMLINE_NAME, Settings, SettingsError
from scifish.settings.sources import settings_source
from scifly.collector import MeasurementCollector
from scifly.grouping import name_of
from scifly.journal import Journal, journal_file
from scifly.model import Header, ProposalContext
from scifly.profiles import DEFAULT_PROFILES, Profile, profiles_from
from scifly.readers import read
from scifly.readers.values import local_zone
from scifly.recorder import PROGRAM, DatasetRecorder, Outcome, RecorderStopped
from scifly.scan import PROPOSAL_IN_PATH, FolderScan, MeasurementFiles, PathRule, UnknownProposalError, measurements
from scifly.watching import printable

KAFKA_SILENT_SECONDS = 20.0
"""Seconds without progress of Kafka after which the remaining messages are left to the spool."""

DATABASE_SECONDS = 10.0
"""Maximum seconds to wait for the Tango database."""

HEADER_VALUES_SHOWN = 4
"""Number of header values that are shown per measurement."""


class CommandError(Exception):
    """The command cannot be executed. The text says why, and what to do."""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        return _Command(options).run()
    except (OSError, sqlite3.Error, SettingsError, NotRecorded, CommandError) as error:
        print(f"scifly: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scifly", description="Record files that other programs have written.")
    parser.add_argument("--version", action="version", version=f"scifly {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    scan = commands.add_parser(
        "scan",
        help="record the files of a folder like the device SciFly",
        description="Record the files of a folder afterwards, each measurement once. Measurements that this command or "
        "the device has recorded before are skipped. The command can be stopped; the next run continues. Exit "
        "status: 0 everything is recorded, 1 something is left (with the reason), 2 it could not be done.",
        epilog="The settings come from --settings or --scidog, else from the YAML file named by SCIFISH_CONFIG, else "
        "from the beamline's SciDog (TANGO_HOST).",
    )
    scan.add_argument("folder", help="the folder; folders below it are included")
    scan.add_argument(
        "--profile",
        action="append",
        metavar="PROFILE",
        help="a line as in the device's property: ses, prodigy, any, or {name: ..., pattern: ...}; "
        f"may be given several times (default: {', '.join(DEFAULT_PROFILES)})",
    )
    scan.add_argument("--dry-run", action="store_true", help="only show what would be recorded")
    scan.add_argument("--proposal", default="", metavar="NUMBER", help="of all files (default: from their path)")
    scan.add_argument("--sample", default="", help="of all files")
    scan.add_argument(
        "--layout",
        default=PROPOSAL_IN_PATH,
        metavar="REGEX",
        help="how to find the proposal in a path, with groups named category, beamline, proposal, sample (default: "
        f"{PROPOSAL_IN_PATH.replace('%', '%%')})",
    )
    scan.add_argument("--since", metavar="DATE", help="only measurements written since then, such as 2025-11-23T08:00")
    where = scan.add_mutually_exclusive_group()
    where.add_argument("--settings", type=Path, metavar="FILE", help="a YAML file of settings")
    where.add_argument("--scidog", metavar="DEVICE", help="the SciDog that has the settings")
    where.add_argument("--beamline", metavar="NAME", help="for --dry-run without settings")
    scan.add_argument("--json", action="store_true", help="one line with a JSON object for each measurement")
    return parser


class _Command:
    """`scifly scan`."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._root = os.path.abspath(options.folder)
        if not os.path.isdir(self._root):
            raise CommandError(f"{printable(self._root)} is not a folder")
        self._profiles = self._profiles_of(options.profile or list(DEFAULT_PROFILES))
        self._zone = local_zone()
        self._since = self._moment(options.since)
        self._settings = None if options.beamline else self._settings_of()
        beamline = options.beamline or (self._settings.beamline if self._settings is not None else "")
        if not BEAMLINE_NAME.fullmatch(beamline):
            raise CommandError(f"the beamline {beamline!r} is not a short name of letters, digits, '.', '_' and '-'")
        self._beamline = beamline
        try:
            self._rule = PathRule(
                re.compile(options.layout), beamline, options.proposal.strip(), options.sample.strip()
            )
        except re.error as error:
            raise CommandError(f"--layout {options.layout!r}: {error}") from error
        self._stopping = threading.Event()
        self._count = self._total = 0
        self._problems = 0

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self._stopping.set())
        found = measurements(self._root, self._profiles, self._report_problem)
        found = [one for one in found if one.written >= self._since]
        places = self._places(found)
        found = [one for one in found if one.path in places]
        self._total = len(found)
        status = self._dry_run(found, places) if self._options.dry_run else self._record(found, places)
        return status or (1 if self._problems else 0)

    # ------------------------------------------------------------------------- options

    @staticmethod
    def _profiles_of(lines: list[str]) -> tuple[Profile, ...]:
        profiles, problems = profiles_from(lines)
        if problems:
            raise CommandError("--profile: " + "; ".join(problem.partition(": ")[2] for problem in problems))
        return profiles

    def _moment(self, text: str | None) -> float:
        if not text:
            return float("-inf")
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise CommandError(f"--since {text!r} is not a date such as 2025-11-23 or 2025-11-23T08:00") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).timestamp()

    def _settings_of(self) -> Settings:
        if self._options.scidog:
            os.environ["SCIDOG_DEVICE"] = self._options.scidog
        settings = settings_source(self._options.settings).now(DATABASE_SECONDS)
        if settings is None:
            raise CommandError(
                "there are no settings: give a YAML file (--settings), or the Tango system (TANGO_HOST, --scidog); "
                "for --dry-run, --beamline is sufficient"
            )
        return settings

    def _places(self, found: list[MeasurementFiles]) -> dict[str, ProposalContext]:
        """The proposal of each measurement, by its path.

        Measurements without a existing proposal are reported and skipped.
        """
        places: dict[str, ProposalContext] = {}
        left: dict[str, list[str]] = {}
        for one in found:
            try:
                places[one.path] = self._rule.place_of(one.path)
            except UnknownProposalError as error:
                left.setdefault(str(error), []).append(printable(one.path))
        for why, paths in left.items():
            self._report_problem(f"{len(paths)} measurements are skipped, for example {paths[0]}: {why}")
        return places

    # ------------------------------------------------------------------------- actions

    def _dry_run(self, found: list[MeasurementFiles], places: dict[str, ProposalContext]) -> int:
        path = journal_file(self._beamline)
        with contextlib.closing(Journal(path)) if path.exists() else contextlib.nullcontext() as journal:
            for one in found:
                if self._stopping.is_set():
                    return 130
                paths = sorted(file.path for file in one.files)
                header = read(one.profile.reader, paths, self._zone, self._root)
                self._count += 1
                self._show_measurement(one, header, places[one.path], self._state(one, journal))
        print(f"{self._count} measurements; nothing is recorded (--dry-run)", file=sys.stderr)
        return 0

    def _state(self, one: MeasurementFiles, journal: Journal | None) -> str:
        if journal is None:
            return "new"
        existing = journal.known([file.path for file in one.files])
        recorded = [file for file in one.files if file.path in existing and existing[file.path].settled]
        if not recorded:
            return "new"
        if len(recorded) < len(one.files):
            return "has more files than recorded"
        same = all(existing[file.path].is_like(file) for file in one.files)
        return "is recorded" if same else "has changed since it was recorded"

    def _record(self, found: list[MeasurementFiles], places: dict[str, ProposalContext]) -> int:
        if self._settings is None:
            raise CommandError("--beamline is for --dry-run only: recording needs settings (--settings)")
        now = time.time()
        left = [one.path for one in found if one.written > now - one.profile.settle]
        finished = [one for one in found if one.written <= now - one.profile.settle]
        journal = Journal(journal_file(self._beamline))
        session = recording_session(self._options.settings, PROGRAM)
        # The present attribute values are never those of the time of the measurement.
        recorder = DatasetRecorder(journal, lambda: session, self._beamline, self._zone, float("-inf"), self._stopping)
        collector = MeasurementCollector(
            self._root, self._profiles, journal, self._beamline, float("inf"), lambda path, _: self._rule.place_of(path)
        )
        by_path = {one.path: one for one in found}
        scan = FolderScan(
            collector, recorder, lambda: session, lambda outcome: self._show_outcome(outcome, by_path), self._stopping
        )
        try:
            left += scan.run(finished)
        except RecorderStopped:
            pass
        finally:
            waiting = scan.finish(0.0 if self._stopping.is_set() else KAFKA_SILENT_SECONDS, self._progress)
            session.close()
            journal.close()
        if self._stopping.is_set():
            print(f"\nstopped: {self._count} measurements are recorded; the next run continues", file=sys.stderr)
            return 130
        for path in left:
            self._report_problem(f"{printable(path)}: is not finished: a later run records it")
        before = self._total - self._count - len(left)
        others = f"; {before} were recorded before" if before else ""
        print(f"{self._count} of {self._total} measurements are recorded now{others}", file=sys.stderr)
        if waiting:
            why = "because Kafka does not accept them: see `scifish status`"
            print(f"{waiting} are in the spool, {why}", file=sys.stderr)
        return 1 if left else 0

    # -------------------------------------------------------------------------- output

    def _show_outcome(self, outcome: Outcome, by_path: dict[str, MeasurementFiles]) -> None:
        for one in outcome.recorded:
            self._count += 1
            measured = MeasurementFiles(one.measurement.path, by_path[one.measurement.path].profile, list(one.files))
            self._show_measurement(measured, one.header, one.measurement.place, "recorded", one.measurement.uuid)
        for path in outcome.ignored:
            self._print_line(
                f"{printable(path)}: has changed since its recording; the change is not recorded (modified)"
            )
        for problem in outcome.problems:
            self._report_problem(problem)

    def _show_measurement(
        self, one: MeasurementFiles, header: Header, place: ProposalContext, state: str, uuid: str = ""
    ) -> None:
        name = printable(name_of(one.profile, one.path))
        started = header.started if header.started is not None else one.written
        about: dict[str, Any] = {
            "name": name,
            "path": printable(one.path),
            "state": state,
            "uuid": uuid or files_uuid(self._beamline, one.path, 0),
            "profile": one.profile.name,
            "proposal": place.proposal,
            "sample": place.sample,
            "proprietary": place.proprietary,
            "files": [printable(file.path) for file in one.files],
            "size": one.size,
            "started": iso(max(started, 0.0)),
            "format": header.data_format,
            "complete": header.complete,
            "metadata": header.metadata,
            "problems": list(header.problems),
        }
        if self._options.json:
            self._print_line(json.dumps(about, default=str))
            return
        when = datetime.fromtimestamp(max(started, 0.0), UTC).astimezone(self._zone).strftime("%Y-%m-%d %H:%M:%S")
        size = f"{one.size / 1e6:.1f} MB" if one.size >= 1e5 else f"{one.size / 1e3:.1f} kB"
        secret = ", proprietary: it stays at the beamline" if place.proprietary else ""
        part = "" if header.complete else ", not complete"
        self._print_line(
            f"[{self._count}/{self._total}] {name}: {state}; {len(one.files)} files, {size}, {when}, "
            f"proposal {place.proposal}{secret}{part}"
        )
        if header.data_format or header.metadata:
            self._print_line(f"    {header.data_format}: {_facts(header.metadata)}")
        for problem in header.problems:
            self._print_line(f"    ! {problem}")

    def _print_line(self, text: str) -> None:
        print(text, flush=True)

    def _report_problem(self, problem: str) -> None:
        self._problems += 1
        print(f"scifly: {problem}", file=sys.stderr)

    def _progress(self, left: int) -> None:
        if sys.stderr.isatty() and left:
            print(f"\r{left} are on their way to Kafka ", end="", file=sys.stderr, flush=True)


def _facts(metadata: Message) -> str:
    """The first values of a header, as one line."""
    found = list(leaves(as_metadata(metadata, PROGRAM, iso(0.0))))
    shown = [f"{leaf['human_name']} {leaf['value']} {leaf['unit']}".strip() for _, leaf in found[:HEADER_VALUES_SHOWN]]
    more = f" and {len(found) - HEADER_VALUES_SHOWN} more" if len(found) > HEADER_VALUES_SHOWN else ""
    return ", ".join(shown) + more


if __name__ == "__main__":
    sys.exit(main())
