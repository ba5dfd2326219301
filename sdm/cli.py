"""`scizoo-sdm`: what the user office knows of a proposal, and its folders."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from sdm import folders
from sdm.layout import AUTO_VISIT, DEFAULT_ROOT, Layout, NameRefused, Place, today
from sdm.office import OfficeError, Proposal, office_from


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 with a sentence on standard error."""
    options = _parser().parse_args(arguments)
    try:
        proposal = office_from(options.office).proposal(options.proposal)
        if options.command == "show":
            print(_shown(proposal))
        else:
            _folders(proposal, options)
    except (OfficeError, NameRefused, folders.FolderError) as error:
        print(f"scizoo-sdm: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scizoo-sdm", description="Proposals of the user office, and their folders.")
    office = os.environ.get("SDM_OFFICE", "")
    parser.add_argument(
        "--office",
        default=office,
        required=not office,
        help="the user office, as in yaml:/path/proposals.yaml (default: the environment variable SDM_OFFICE)",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    show = commands.add_parser("show", help="show what the office knows of a proposal")
    make = commands.add_parser("folders", help="make the folders of a visit, as far as they are missing")
    for command in (show, make):
        command.add_argument("proposal", metavar="PROPOSAL")
    make.add_argument("--visit", default=AUTO_VISIT, help="YYYYMMDD, or as the beamline names them (default: today)")
    make.add_argument("--sample", default="", help="make this sample's folder too")
    make.add_argument("--prefix", type=Path, default=DEFAULT_ROOT, help="the root of the storage (default: /data)")
    make.add_argument("--dry-run", action="store_true", help="only say what would be made")
    return parser


def _shown(proposal: Proposal) -> str:
    leader = f"{proposal.pi_name} <{proposal.pi_email}>" if proposal.pi_email else proposal.pi_name
    fields = {
        "proposal": proposal.id,
        "title": proposal.title,
        "principal investigator": leader,
        "beamline": proposal.beamline,
        "category": proposal.category,
        "proprietary": "yes" if proposal.proprietary else "",
        "group": proposal.group,
        "members": ", ".join(proposal.members),
        "visits": ", ".join(proposal.visits),
        "samples": ", ".join(proposal.samples),
        "abstract": proposal.abstract,
    }
    return "\n".join(f"{name + ':':24}{value}" for name, value in fields.items() if value)


def _folders(proposal: Proposal, options: argparse.Namespace) -> None:
    visit = today() if options.visit in ("", AUTO_VISIT) else options.visit
    layout = Layout(options.prefix.absolute())
    place = Place(proposal.category, proposal.beamline, proposal.id, visit, options.sample)
    if options.dry_run:
        for folder in folders.planned(layout, place):
            print(f"{_state(folder):8} {folder.mode:04o} {proposal.group} {folder.path}")
        return
    done = folders.make(layout, place, proposal.group)
    for folder in folders.planned(layout, place):
        print(f"{'made' if folder.path in done.made else 'is there':8} {folder.mode:04o} {folder.path}")
    for note in done.notes:
        print(f"note: {note}")


def _state(folder: folders.Folder) -> str:
    try:
        mode = stat.S_IMODE(folder.path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return "make"
    except PermissionError:
        return "unseen"
    return "is there" if mode == folder.mode else "change"


if __name__ == "__main__":
    sys.exit(main())
