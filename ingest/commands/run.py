"""`scicow run`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Callable

from ingest.commands.common import Commands, add_config
from ingest.settings import load


def add(commands: Commands) -> None:
    run = commands.add_parser(
        "run",
        help="ingest until SIGTERM or Ctrl-C",
        description="Read the topics of all beamlines and bring SciCat to what they say. A message counts as done "
        "when SciCat has it, or when the dead-letter topic has it with the reason; while SciCat is away, "
        "SciCow waits. It stops cleanly with SIGTERM or Ctrl-C.",
    )
    add_config(run)
    run.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error"), help="(default: info)"
    )
    run.set_defaults(command=_run)


def _run(args: argparse.Namespace) -> int:
    from ingest.consumer import SciCow  # the other commands do without Kafka
    from ingest.deadletters import DeadLetters
    from ingest.ingestor import Ingestor
    from ingest.progress import Progress
    from ingest.scicat import NotAllowed, SciCat, SciCatError
    from ingest.validation import validation_from

    logging.basicConfig(
        level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    settings = load(args.config)
    account = settings.scicat
    client = SciCat(account.url, account.username, str(account.password), timeout=account.timeout)
    ingestor = Ingestor(client, settings, validation_from(settings, client))
    cow = SciCow(settings, ingestor, DeadLetters(settings), Progress())
    _stop_on_signals(cow.stop)
    log = logging.getLogger("ingest")
    log.info("datasets go to SciCat at %s", account.url)
    try:
        client.login()
    except NotAllowed as error:
        log.error(
            "%s: check scicat.username and scicat.password in %s; messages are held until then", error, args.config
        )
    except SciCatError as error:
        log.warning("SciCat does not answer now, messages are held until it does: %s", error)
    cow.run()
    return 0


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """The first SIGTERM or Ctrl-C stops cleanly, the second one at once."""

    def stop_cleanly(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        signal.signal(number, stop_cleanly)
