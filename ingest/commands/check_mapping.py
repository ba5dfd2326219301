"""`scicow check-mapping`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ingest import mapping
from ingest.commands.common import Commands, add_config
from ingest.ownership import by_settings
from ingest.settings import Settings, load
from scifish.message import Message, MessageError, decode


def add(commands: Commands) -> None:
    check = commands.add_parser(
        "check-mapping",
        help="show what a message becomes in SciCat",
        description="Check a message against its schema and print what SciCow would send to SciCat. Nothing is sent.",
    )
    add_config(check)
    check.add_argument("message", type=argparse.FileType("rb"), help="a file with one message in JSON; - for stdin")
    check.set_defaults(command=_check_mapping)


def _check_mapping(args: argparse.Namespace) -> int:
    settings = load(args.config, secrets=False)
    with args.message as file:
        data = file.read()
    try:
        message = decode(data)
    except MessageError as error:
        print(f"{args.message.name}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(_mapped(message, settings), indent=2, ensure_ascii=False))
    return 0


def _mapped(message: Message, settings: Settings) -> dict[str, Any]:
    if message["type"] == "annotation":
        return {"pid": mapping.pid_of(message, settings), "change": mapping.annotation(message)}
    whose = by_settings(message, settings)
    return {"dataset": mapping.dataset(message, whose, settings), "files": mapping.files(message)}
