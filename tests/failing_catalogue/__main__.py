"""See `tests.failing_catalogue`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from ingest.embedded import cli
from tests.failing_catalogue.application import Connection, failing_app
from tests.failing_catalogue.rules import FaultsError, read_rules


def main() -> int:
    """The exit status: that of `scicat-embedded`."""
    parser = cli.make_parser()
    parser.add_argument("--faults", type=Path, metavar="FILE", help="fail as this file says")
    arguments = parser.parse_args()
    try:
        rules = read_rules(arguments.faults) if arguments.faults else []
    except FaultsError as error:
        print(f"failing_catalogue: {error}", file=sys.stderr)
        return 1
    return cli.run(arguments, partial(failing_app, rules=rules), Connection)


if __name__ == "__main__":
    sys.exit(main())
