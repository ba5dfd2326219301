"""`scicow config show`: shows the settings as SciCow reads them."""

from __future__ import annotations

import argparse

from ingest.scicow.commands.common import Commands, add_config
from ingest.scicow.settings import load, shown


def add(commands: Commands) -> None:
    config = commands.add_parser("config", help="show the settings").add_subparsers(required=True, metavar="COMMAND")
    show = config.add_parser("show", help="print the settings in force, defaults included, secrets hidden")
    add_config(show)
    show.set_defaults(command=_show)


def _show(args: argparse.Namespace) -> int:
    print(shown(load(args.config, secrets=False)), end="")
    return 0
