"""The command `scicow`."""

from __future__ import annotations

import argparse
import os
import sys

try:
    import jsonschema_rs  # noqa: F401 - imported here, so that a missing package is reported at the start
except ImportError as missing:
    sys.exit(f"scicow: {missing}; run in a clone of SciZoo: pip install '.[ingest]'")

from ingest.scicow.commands import audit, check_mapping, config, dead_letters, replay, run, status
from ingest.scicow.settings import SciCowSettingsError

COMMANDS = (run, status, config, check_mapping, dead_letters, replay, audit)


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0, 1 if messages or datasets are wrong, 2 if settings are wrong or a service does not answer."""
    args = _parser().parse_args(argv)
    try:
        status: int = args.command(args)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nscicow: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of `| head`: nobody reads the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except SciCowSettingsError as error:
        print(error, file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scicow", description="Reads the messages about datasets from Kafka and writes them to SciCat."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
