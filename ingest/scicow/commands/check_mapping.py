"""`scicow check-mapping`: shows what becomes of a message in SciCat, without sending it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from ingest.scicow.catalogue.datablocks import in_blocks
from ingest.scicow.commands.common import Commands, add_config
from ingest.scicow.errors import MessageRefused
from ingest.scicow.mapping import Mapping, files, pid_of
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.settings import SciCowSettings, load
from scifish.message import Message, MessageError, decode

VERSIONS = ("v3", "v4")


def add(commands: Commands) -> None:
    check = commands.add_parser(
        "check-mapping",
        help="show what a message becomes in SciCat",
        description="Check a message against its schema and print what SciCow would send to SciCat, for each version "
        "of the API: the dataset (with the contact of the settings, because no user office is asked) and the lists of "
        "files. Differences from the recorded message are reported on stderr. Nothing is sent.",
    )
    add_config(check)
    check.add_argument("--api", choices=VERSIONS, help="the version of SciCat's API (default: both)")
    check.add_argument("--mapping", metavar="FILE", help="a mapping page to test, instead of that of the settings")
    check.add_argument("message", type=argparse.FileType("rb"), help="a file with one message in JSON; - for stdin")
    check.set_defaults(command=_check_mapping)


def _check_mapping(args: argparse.Namespace) -> int:
    with args.message as file:
        data = file.read()
    settings = load(args.config, secrets=False)
    if args.mapping is not None:
        settings = dataclasses.replace(settings, mapping=args.mapping)
    mapping = Mapping(settings)
    try:
        message = decode(data)
        versions = [args.api] if args.api else VERSIONS
        shown = {version: _sent(message, mapping, settings, version) for version in versions}
    except (MessageError, MessageRefused) as error:
        print(f"{args.message.name}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(shown, indent=2, ensure_ascii=False))
    for note in mapping.notes(message, by_settings(message, settings)):
        print(f"warning: {note}", file=sys.stderr)
    return 0


def _sent(message: Message, mapping: Mapping, settings: SciCowSettings, version: str) -> dict[str, Any]:
    if message["type"] == "annotation":
        # To a dataset that has nothing yet; the picture is an attachment of its own.
        said = message["annotation"]
        change = mapping.annotation(message, {}, {}) if said.keys() - {"image"} else {}
        picture = {"picture": said["image"]["caption"]} if "image" in said else {}
        return {"pid": pid_of(message, settings), "change": change} | picture
    dataset = mapping.dataset(message, by_settings(message, settings), version)
    return {"dataset": dataset, "blocks": in_blocks(files(message))}
