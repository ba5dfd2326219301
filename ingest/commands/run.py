"""`scicow run`."""

from __future__ import annotations

import argparse
import logging
import signal
import sys

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
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: cow.stop())
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
