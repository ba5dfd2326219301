"""What several commands share."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.scicow.settings import SciCowSettings, load

if TYPE_CHECKING:
    from ingest.scicow.kafka.topics import TopicReader

Commands = Any
"""What argparse's `add_subparsers` returns."""

Command = Callable[[argparse.Namespace, SciCowSettings, "TopicReader"], int]
"""Returns the exit status."""


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=Path("scicow.yaml"), metavar="FILE", help="settings (default: scicow.yaml)"
    )


def duration(unit: str) -> Callable[[str], float]:
    """The type of an option that is a number of `unit`."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = 0.0
        if not 0 < found <= 1e6:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of {unit} above 0, 1,000,000 at most")
        return found

    return read


def with_topics(command: Command, secrets: bool = False) -> Callable[[argparse.Namespace], int]:
    """A command that reads topics: a failure of Kafka or SciCat is one line, with exit status 2.

    `secrets` where it needs the passwords in the settings.
    """

    @functools.wraps(command)
    def told(args: argparse.Namespace) -> int:
        from ingest.scicat import SciCatError  # the other commands do without SciCat and Kafka
        from ingest.scicow.kafka.topics import TopicError, TopicReader

        settings = load(args.config, secrets=secrets)
        try:
            with TopicReader(settings.kafka) as topics:
                return command(args, settings, topics)
        except (TopicError, SciCatError) as error:
            print(f"scicow: {error}", file=sys.stderr)
            return 2

    return told
