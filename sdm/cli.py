"""`scizoo-sdm`: shows what the user office knows of a proposal, and makes its folders."""

from __future__ import annotations

import argparse
import datetime as dt
import io
import logging
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from sdm import folders
from sdm.layout import DEFAULT_ROOT, layout_from
from sdm.names import AUTO_VISIT, DataLocation, NameRefused, check_name
from sdm.office import (
    COMMISSIONING,
    OfficeError,
    Proposal,
    RememberingOffice,
    UnknownProposal,
    Visit,
    ago,
    at_beamline,
    memory_file,
    office_from,
    proposal_at,
    visit_on,
)

_EPILOG = """\
examples:
  scizoo-sdm --office yaml:/etc/scizoo/proposals.yaml list cosaxs
  scizoo-sdm --office duo:/etc/scizoo/duo.yaml show 20250001
  scizoo-sdm --office duo:/etc/scizoo/duo.yaml folders 20250001 --beamline cosaxs --dry-run

exit status: 0 done, 1 could not be done (one sentence on standard error), 2 wrong usage.
The office's answers are stored. While it cannot be asked, the stored answer is shown, and standard error says so.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 with a sentence on standard error."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="scizoo-sdm: %(message)s", level=logging.WARNING)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have all letters of the names
    try:
        office = RememberingOffice(office_from(options.office), options.memory or memory_file())
        if options.command == "list":
            _print_list(office.proposals(check_name(options.beamline, "beamline")), office.name, options.beamline)
        else:
            asked = options.proposal, options.beamline
            proposal = proposal_at(office, *asked) if options.beamline else office.proposal(options.proposal)
            _warn_if_old(proposal)
            if options.command == "show":
                print(_proposal_text(proposal))
            else:
                _make_folders(proposal, options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, e.g. `head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OfficeError, NameRefused, folders.FolderError) as error:
        own = isinstance(error, UnknownProposal) and options.proposal == COMMISSIONING
        hint = "; each beamline has its own: give --beamline" if own else ""
        print(f"scizoo-sdm: {error}{hint}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scizoo-sdm",
        description="Show proposals of the user office, and make their folders.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    office = os.environ.get("SDM_OFFICE", "")
    parser.add_argument(
        "--office",
        default=office,
        required=not office,
        help="yaml:/path/proposals.yaml, duo:/path/duo.yaml, scicat:/path/scicat.yaml or scicat:https://host/api/v3 "
        "(default: the environment variable SDM_OFFICE)",
    )
    parser.add_argument(
        "--memory", type=Path, help="file that stores the office's answers (default: in the account's state folder)"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="show what the office knows of a proposal")
    make = commands.add_parser("folders", help="make the missing folders of a visit")
    every = commands.add_parser("list", help="list the proposals of a beamline")
    every.add_argument("beamline", metavar="BEAMLINE")
    for command in (show, make):
        command.add_argument("proposal", metavar="PROPOSAL")
        command.add_argument("--beamline", default="", help="refuse a proposal that is not for this beamline")
    make.add_argument(
        "--visit",
        default=AUTO_VISIT,
        help="YYYYMMDD, or another name (default: the office's visit of today, else today's date)",
    )
    make.add_argument("--sample", default="", help="also make this sample's folder")
    make.add_argument("--prefix", type=Path, default=DEFAULT_ROOT, help="the root of the storage (default: /data)")
    make.add_argument(
        "--layout",
        default=os.environ.get("SDM_LAYOUT", ""),
        help='YAML file of the layout, or a template such as "{category}/{beamline}/{proposal}/{visit}/raw", the '
        "default (also: the environment variable SDM_LAYOUT)",
    )
    make.add_argument("--owner", default="", help="account that owns the folders (default: this account)")
    make.add_argument("--raw-read-only", action="store_true", help="only the owner can write to raw")
    make.add_argument(
        "--dry-run", action="store_true", help="only show what would be made; the exit status is that of the real run"
    )
    return parser


def _warn_if_old(proposal: Proposal) -> None:
    if proposal.as_of:
        when = f"{ago(proposal.as_of)} ({proposal.as_of})"
        print(f"scizoo-sdm: {proposal.trouble}. The answer shown was given {when}", file=sys.stderr)


def _print_list(proposals: Sequence[Proposal], office: str, beamline: str) -> None:
    if not proposals:
        print(f"scizoo-sdm: the user office ({office}) has no proposals of the beamline {beamline!r}", file=sys.stderr)
    for proposal in proposals[:1]:
        _warn_if_old(proposal)
    for proposal in proposals:
        print(f"{proposal.id:16} {proposal.category:12} {proposal.title}")


def _proposal_text(proposal: Proposal) -> str:
    leader = f"{proposal.pi_name} <{proposal.pi_email}>" if proposal.pi_email else proposal.pi_name
    fields = {
        "proposal": proposal.id,
        "title": proposal.title,
        "principal investigator": leader,
        "beamline": ", ".join((proposal.beamline, *proposal.also_at)),
        "type": proposal.type,
        "category": proposal.category,
        "proprietary": "yes" if proposal.proprietary else "",
        "group": proposal.group,
        "members": ", ".join(proposal.members),
        "visits": ", ".join(map(_visit_text, proposal.visits)),
        "samples": ", ".join(proposal.samples),
        "abstract": proposal.abstract,
        "known": f"as the office reported {ago(proposal.as_of)}" if proposal.as_of else "",
    }
    return "\n".join(f"{name + ':':24}{value}" for name, value in fields.items() if value)


def _visit_text(visit: Visit) -> str:
    more = ", ".join(filter(None, (" to ".join(filter(None, (visit.start, visit.end))), visit.beamline)))
    return f"{visit.name} ({more})" if more else visit.name


def _make_folders(proposal: Proposal, options: argparse.Namespace) -> None:
    proposal = at_beamline(proposal, proposal.beamline)
    auto = options.visit.lower() in ("", AUTO_VISIT)
    visit = visit_on(proposal, dt.date.today()) if auto else options.visit
    layout = layout_from(options.layout, options.prefix.absolute())
    location = DataLocation(proposal.category, proposal.beamline, proposal.id, visit, options.sample)
    planned = folders.plan(layout, location, proposal.group, raw_read_only=options.raw_read_only)
    if options.dry_run:
        refused: set[Path] = set()
        for folder in planned:
            state = "refuse" if folder.path.parent in refused else _state(folder, options.owner)
            if state == "refuse":
                refused.add(folder.path)
            print(f"{state:8} {folder.mode:04o} {folder.group} {folder.path}")
        for note in folders.missing_accounts(planned, options.owner):
            print(f"scizoo-sdm: {note}", file=sys.stderr)
        with folders.beamline_folder(layout, location):  # raises if this machine does not have the storage
            pass
        if refused:
            raise folders.FolderError(f"{min(refused)} is not a folder, or is a link to one: remove it")
        return
    wrong = [folder for folder in planned if _state(folder, options.owner) == "change"]
    done = folders.make(layout, location, proposal.group, owner=options.owner, raw_read_only=options.raw_read_only)
    changed = [folder.path for folder in wrong if _state(folder, options.owner) == "is there"]
    for folder in planned:
        state = "made" if folder.path in done.made else "changed" if folder.path in changed else "is there"
        print(f"{state:8} {folder.mode:04o} {folder.path}")
    for note in done.notes:
        print(f"scizoo-sdm: {note}", file=sys.stderr)


def _state(folder: folders.PlannedFolder, owner: str) -> str:
    try:
        found = folder.path.lstat()
    except FileNotFoundError:
        return "make"
    except OSError:
        return "unseen"
    if not stat.S_ISDIR(found.st_mode):
        return "refuse"
    right = (
        stat.S_IMODE(found.st_mode) == folder.mode
        and folders.gid_of(folder.group) in (None, found.st_gid)
        and folders.uid_of(owner) in (None, found.st_uid)
    )
    return "is there" if right else "change"


if __name__ == "__main__":
    sys.exit(main())
