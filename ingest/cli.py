"""The command `scicow`."""

from __future__ import annotations

import argparse
import sys

try:
    import jsonschema  # noqa: F401 - asked for here, and not with the first message
except ImportError as missing:
    sys.exit(f"scicow: {missing}; say: pip install 'sardana-scizoo[ingest]'")

from ingest.commands import check_mapping, config, run, status
from ingest.settings import SettingsError

COMMANDS = (run, status, config, check_mapping)


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0, 1 for a message that is wrong, 2 for settings that are."""
    args = _parser().parse_args(argv)
    try:
        status: int = args.command(args)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scicow", description="Takes the messages about datasets from Kafka into SciCat."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
