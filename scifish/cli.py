"""The command `scifish`: shows and sends the messages that wait in the spools of this machine."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import logging
import os
import re
import socket
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from scifish import __version__
from scifish.companion.orphans import damaged_spools, refusal
from scifish.companion.supervisor import Supervisor
from scifish.message import Message, iso
from scifish.settings import Settings, SettingsError, spool_folders
from scifish.settings.identity import Identity
from scifish.settings.sources import SettingsSource, identity_of, settings_source
from scifish.spool.database import SPOOL_SUFFIX, LeftSpool, left_by_another_account
from scifish.spool.inspection import SpoolSummary, listing, summarise
from scifish.spool.requests import request_resend, resend_requested, take_resend_request
from scifish.spool.salvage import salvage
from scifish.spool.sent import SENT_SUFFIX, SentMessage, send_again, sent_messages

MAX_NAMED_REFUSALS = 20

REFUSED_ANSWER_SECONDS = 10.0
"""Maximum time until Kafka has accepted what a running program retries for `scifish resend`."""


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        return int(options.run(options))
    except (OSError, sqlite3.Error, SettingsError) as error:
        print(f"scifish: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scifish",
        description="Inspect the spools of this machine: metadata that wait to be sent to Kafka.",
        epilog="The settings come from the YAML file named by SCIFISH_CONFIG, else from the beamline's SciDog "
        "(TANGO_HOST, SCIDOG_DEVICE), else from the last good settings on disk.",
    )
    parser.add_argument("--version", action="version", version=f"scifish {__version__}")
    parser.add_argument(
        "--spool",
        type=Path,
        help="folder of spools (default: SpoolDirectory of the settings, /var/lib/scifish, the user's state folder)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser(
        "status",
        help="show waiting messages, for how long and why; exit status 1 if any waits or is refused, or a program has "
        "left datasets or a spool that is not sent, 2 if a spool cannot be read",
    )
    status.set_defaults(run=_status)
    waiting = commands.add_parser(
        "list",
        help="list each waiting message, and each dataset that is being recorded",
        description="For people, or with --json for `scicow audit --spool`, which compares it with the catalogue.",
    )
    waiting.add_argument("--json", action="store_true", help="one JSON object")
    waiting.set_defaults(run=_list)
    flush = commands.add_parser(
        "flush",
        help="send the messages of programs that have exited; exit status 1 if any message of this machine is left",
    )
    _add_timeout(flush)
    flush.add_argument(
        "--unidentified",
        action="store_true",
        help="also send spools that do not say under which settings they were recorded (of an older version, or "
        "salvaged), with the present settings; what may be proprietary is not sent",
    )
    flush.set_defaults(run=_flush)
    resend = commands.add_parser(
        "resend",
        help="retry messages that Kafka refuses; with --since or --uuid also send those again that Kafka has lost",
        description="Try all waiting and refused messages of this machine again, also those of running programs. With "
        "--since or --uuid, also send again the messages that Kafka has confirmed and that are still kept on this "
        "machine (KeepSentDays): for messages that Kafka deleted before SciCow had read them. A message that SciCow "
        "has already has no effect. Exit status 1 if any message is left.",
    )
    resend.add_argument("--since", type=_time, metavar="TIME", help="sent since then: 2026-11-22T10:00, or 12h, 7d ago")
    resend.add_argument("--until", type=_time, metavar="TIME", help="and before then (default: now)")
    resend.add_argument(
        "--uuid", action="append", default=[], metavar="UUID", help="of this dataset alone (may be given several times)"
    )
    _add_timeout(resend)
    resend.set_defaults(run=_resend)
    salvaging = commands.add_parser(
        "salvage",
        help="get what can be had out of damaged spools, and send it; exit status 1 if any of it is left",
        description="Read the damaged spools (.broken) of this machine as far as they can be read, write that into new "
        "spools, and send it as `scifish flush` does. The damaged ones are renamed to .salvaged; delete them when "
        "nothing is missing.",
    )
    _add_timeout(salvaging)
    salvaging.set_defaults(run=_salvage)
    return parser


def _add_timeout(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--timeout", type=_seconds, default=60.0, metavar="SECONDS", help="maximum duration (default: 60)"
    )


def _folders(options: argparse.Namespace, source: SettingsSource, notes: TextIO | None = None) -> list[Path]:
    """Folders that may hold spools, also those of earlier settings or of a time without a writable SpoolDirectory."""
    if options.spool is not None:
        if not options.spool.is_dir():
            raise NotADirectoryError(f"--spool {options.spool}: this folder does not exist")
        return [Path(options.spool)]
    settings = source.now(5.0)
    if settings is None:
        note = "No settings (TANGO_HOST, SCIDOG_DEVICE, SCIFISH_CONFIG): only the usual folders are checked (--spool)"
        print(note, file=notes)
    return spool_folders(settings or Settings())


def _spool_files(folders: list[Path]) -> tuple[list[Path], list[str]]:
    """The spools in these folders, and a sentence for each folder that cannot be read."""
    found, problems = [], []
    for folder in folders:
        try:
            found += [folder / name for name in os.listdir(folder) if name.endswith(SPOOL_SUFFIX)]
        except OSError as error:
            problems.append(f"{folder}: cannot be read: {error.strerror}")
    return sorted(found), problems


def _contents(folders: list[Path]) -> tuple[list[SpoolSummary], list[LeftSpool], list[str]]:
    """The spools in these folders, those that other accounts have left, and a sentence for what cannot be read."""
    found, left = [], []
    files, problems = _spool_files(folders)
    for path in files:
        try:
            found.append(summarise(path))
        except FileNotFoundError:
            continue  # all of it has been sent meanwhile
        except (sqlite3.Error, OSError, ValueError) as error:
            if why := left_by_another_account(path):
                left.append(LeftSpool(path, why))
            else:
                problems.append(f"{path}: cannot be read: {error}")
    return found, left, problems


def _status(options: argparse.Namespace) -> int:
    source = settings_source()
    folders = _folders(options, source)
    settings = source.known() if options.spool is None else None
    if settings is not None and settings.scidog:  # what is wrong in a file has been said when it was read
        for problem in (*settings.problems, *settings.entries()[1]):
            print(f"settings of {settings.scidog}: {problem}")
    contents, left, problems = _contents(folders)
    left += _damaged(folders)
    print(*problems, sep="\n", end="\n" if problems else "")
    for content in contents:
        for line in describe(content, time.time()):
            print(line)
        if not content.alive and content.unsent:
            others = left_by_another_account(content.path)  # which this account may read
            if why := others or refusal(content.path, content.identity, identity_of(source)):
                print(f"  {why}")
    for each in left:
        print(f"{each.path}: {each.why}")
    waiting = sum(content.waiting for content in contents)
    refused = sum(len(content.refused) for content in contents)
    where = ", ".join(map(str, folders)) or "no spool folder exists"
    print(f"{where}: {waiting} messages wait, {refused} refused by Kafka, {len(contents)} spools")
    if problems:
        return 2
    return 1 if left or any(content.unsent for content in contents) else 0


def _damaged(folders: list[Path]) -> list[LeftSpool]:
    found: list[LeftSpool] = []
    for folder in folders:
        with contextlib.suppress(OSError):  # `_contents` has named it
            found += damaged_spools(folder)
    return found


def _salvage(options: argparse.Namespace) -> int:
    source = settings_source()
    folders = _folders(options, source)
    failed = 0
    for path in [each.path for each in _damaged(folders)]:
        try:
            found = salvage(path)
        except (OSError, sqlite3.Error) as error:
            failed += 1
            print(f"{path}: cannot be salvaged: {error}")
        else:
            print(f"{path}: {found.messages} messages and {found.datasets} open datasets; it is {found.aside.name} now")
    left, why = _send_orphans(source, folders, options.timeout)
    print(f"{left} messages of exited programs are left{f': {why}' if left else ''}")
    return 1 if left or failed else 0


def _list(options: argparse.Namespace) -> int:
    found: list[Message] = []
    files, problems = _spool_files(_folders(options, settings_source(), sys.stderr))
    for path in files:
        try:
            found.append(listing(path))
        except FileNotFoundError:
            continue  # all of it has been sent meanwhile
        except (sqlite3.Error, OSError, ValueError) as error:
            problems.append(f"{path}: cannot be read: {error}")
    if options.json:
        report = {"host": socket.gethostname(), "time": iso(time.time()), "spools": found, "problems": problems}
        print(json.dumps(report, indent=2))
    else:
        print("\n".join([*(line for each in found for line in lines_of(each)), *problems]) or "no messages wait")
    return 2 if problems else 0


def lines_of(spool: Message) -> list[str]:
    """One line for each message that waits or is refused, and for each dataset that is being recorded."""
    program = spool["origin"].get("program", "?")
    lines = []
    for each in spool["messages"]:
        why = f" refused: {each['refused']}" if each["refused"] else ""
        name = f" {each['name']!r}" if each["name"] else ""
        seq, since = each["seq"], each["since"]
        lines.append(f"{since} {program} {seq} {each['topic']} {each['uuid']} {each['type']}{name}{why}")
    state = "is being recorded" if spool["alive"] else "has not ended, and its program has exited"
    return lines + [f"{each['since']} {program} - - {each['uuid']} {state}" for each in spool["recording"]]


def describe(content: SpoolSummary, now: float) -> list[str]:
    """Lines for people; `now` is in seconds since 1970."""
    who = f"{content.origin.get('program', '?')} on {content.origin.get('host', '?')}"
    state = "running" if content.alive else "exited; its messages are sent at the next start, or by `scifish flush`"
    lines = [f"{content.path.name}: {who} ({state}), {content.size / 1e6:.1f} MB"]
    why = f": {content.trouble}" if content.trouble else ""
    if content.recording:
        said = "" if content.waiting else why
        lines.append(f"  {content.recording} datasets are being recorded, or were when the program exited{said}")
    if content.annotations:
        lines.append(f"  {content.annotations} annotations wait until their datasets are sent")
    if content.waiting and content.since is not None:
        lines.append(f"  {content.waiting} messages wait, the oldest for {_age(now - content.since)}{why}")
    lines += [f"  refused: message {seq} of dataset {uuid}: {reason}" for seq, uuid, reason in content.refused]
    return lines


def _age(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"


def _flush(options: argparse.Namespace) -> int:
    settings = settings_source()
    folders = _folders(options, settings)
    contents, _, problems = _contents(folders)
    print(*problems, sep="\n", end="\n" if problems else "")
    others = {content.path for content in contents if content.alive}
    left, why = _send_orphans(settings, folders, options.timeout, options.unidentified)
    print(f"{left} messages of exited programs are left{f': {why}' if left else ''}")
    return 1 if _report_running(folders, others) or left else 0


def _send_orphans(
    settings: SettingsSource, folders: list[Path], timeout: float, unidentified: bool = False
) -> tuple[int, str]:
    """Send the messages of programs that have exited; how many are left, and why.

    A spool that must not be sent with these settings counts as one message.
    """
    supervisor = Supervisor(settings, None, folders, lambda report: None, unidentified=unidentified)
    left = supervisor.flush(timeout, _show_progress)
    why = supervisor.trouble() or f"Kafka has not accepted them within {timeout:g} s"
    supervisor.shut_down(1.0, finish=False)
    return left + len(supervisor.left), why


def _report_running(folders: list[Path], running: set[Path]) -> int:
    """Print what programs that are running have to send, and what Kafka refuses of it; how many messages."""
    number = 0
    for content in _contents(folders)[0]:
        if content.path in running and (content.waiting or content.refused):
            program = content.origin.get("program", "?")
            number += content.waiting + len(content.refused)
            if content.waiting:
                print(f"{content.waiting} messages of {program} wait: it is running and sends them itself")
            if content.refused:
                why = content.refused[0][2]
                print(f"{len(content.refused)} messages of {program} are refused: {why}; it tries them again itself")
    return number


def _resend(options: argparse.Namespace) -> int:
    settings = settings_source()
    folders = _folders(options, settings)
    kept = options.since is not None or options.uuid
    left, unreadable = _resend_kept(options, settings, folders) if kept else (0, [])
    contents, _, problems = _contents(folders)
    print(*unreadable, *problems, sep="\n", end="\n" if unreadable or problems else "")
    running = {content.path for content in contents if content.alive}
    for path in running:
        request_resend(path)
    unsent, why = _send_orphans(settings, folders, options.timeout)
    if unsent:
        print(f"{unsent} messages of exited programs are left: {why}")
    deadline = time.monotonic() + options.timeout
    while any(map(_has_unsent, running)) and time.monotonic() < deadline:
        time.sleep(0.2)
    # What Kafka refuses again stays, so that its programs have only a moment for it.
    deadline = time.monotonic() + min(options.timeout, REFUSED_ANSWER_SECONDS)
    while any(map(_has_refused, running)) and time.monotonic() < deadline:
        time.sleep(0.2)
    for path in running:
        if take_resend_request(path):
            print(f"{path}: its program does not answer")
            unsent += 1
    unsent += _report_running(folders, running) + left
    if unsent or not unreadable:
        print("all messages are in Kafka" if not unsent else f"{unsent} messages are left")
    return 1 if unsent or unreadable else 0


def _has_unsent(path: Path) -> bool:
    """Whether the program of this spool has not read the request yet, or messages wait there."""
    try:
        return resend_requested(path) or summarise(path).waiting > 0
    except (OSError, sqlite3.Error):
        return False  # it has exited since


def _has_refused(path: Path) -> bool:
    try:
        return bool(summarise(path).refused)
    except (OSError, sqlite3.Error):
        return False


def _resend_kept(options: argparse.Namespace, source: SettingsSource, folders: list[Path]) -> tuple[int, list[str]]:
    """Send again what Kafka has confirmed before; how many messages it has not now, and a line for each bad file."""
    settings = source.now(5.0)
    if settings is None:
        raise SettingsError("no settings (TANGO_HOST, SCIDOG_DEVICE, SCIFISH_CONFIG)")
    problems: list[str] = []
    mine = identity_of(source)
    others: Counter[Identity | None] = Counter()

    def of_mine() -> Iterator[SentMessage]:
        for each in _kept(options, folders, problems):
            if each.identity is not None and mine.may_send(each.identity):
                yield each
            else:
                others[each.identity] += 1

    try:
        done = send_again(settings, of_mine(), options.timeout)
    except SettingsError as error:
        left = sum(1 for _ in of_mine())
        print(f"{left} messages that were sent before are left: {error}")
        return left, problems
    for identity, count in others.items():
        print(f"{count} messages are not sent with {mine}: they were recorded under {identity or 'unknown settings'}")
    print(f"{done.sent} messages that were sent before are sent again")
    if done.left:
        print(f"{done.left} of them are left: Kafka has not accepted them within {options.timeout:g} s")
    for line in done.refused[:MAX_NAMED_REFUSALS]:
        print(f"  not accepted: {line}")
    return len(done.refused) + done.left + others.total(), problems


def _kept(options: argparse.Namespace, folders: list[Path], problems: list[str]) -> Iterator[SentMessage]:
    """The messages of all files that can be read; `problems` gets a line for each other one."""
    since = options.since if options.since is not None else 0.0
    until = options.until if options.until is not None else float("inf")
    for folder in folders:
        for path in sorted(folder.glob(f"*{SENT_SUFFIX}")):
            try:
                yield from sent_messages(path, since, until, options.uuid)
            except FileNotFoundError:
                continue  # a companion has deleted it meanwhile
            except OSError as error:
                problems.append(f"{path}: cannot be read: {error.strerror or error}")


def _time(text: str) -> float:
    """Seconds since 1970, of a time in ISO 8601 (local time unless it has an offset) or an age: 90m, 12h, 7d."""
    age = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    if age:
        return time.time() - int(age[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[age[2]]
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time: write 2026-11-22T10:00, or how long ago: 90m, 12h, 7d"
        ) from error


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 1,000,000")
    return seconds


def _show_progress(left: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{left} messages wait ", end="", file=sys.stderr, flush=True)
