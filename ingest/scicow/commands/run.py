"""`scicow run`: SciCow itself."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.scicat import NotAllowed, SciCat, SciCatError
from ingest.scicow import logs
from ingest.scicow.commands.common import Commands, add_config
from ingest.scicow.settings import load

if TYPE_CHECKING:
    from ingest.scicow.dead_letters.producer import DeadLetterProducer

TOPIC_RETRY_SECONDS = 10.0
"""Between two questions whether there is a dead-letter topic, while Kafka does not answer."""

log = logging.getLogger(__name__)


def add(commands: Commands) -> None:
    run = commands.add_parser(
        "run",
        help="ingest until SIGTERM or Ctrl-C",
        description="Read the topics of all beamlines and write their messages to SciCat. A message is done when "
        "SciCat has it, or when the dead-letter topic has it with the reason; while SciCat does not answer, "
        "SciCow waits. SIGTERM or Ctrl-C stops it cleanly.",
    )
    add_config(run)
    run.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error"), help="(default: info)"
    )
    run.add_argument("--log-format", default="text", choices=logs.LOG_FORMATS, help="(default: text)")
    run.set_defaults(command=_run)


def _run(args: argparse.Namespace) -> int:
    from ingest.scicow.catalogue.ingestor import Ingestor
    from ingest.scicow.catalogue.validation import validation_from
    from ingest.scicow.dead_letters.producer import DeadLetterProducer
    from ingest.scicow.monitoring.service import serve_monitoring
    from ingest.scicow.pipeline.consumer import SciCowConsumer  # the other commands do without Kafka
    from ingest.scicow.pipeline.counters import Progress

    logs.set_up(args.log_level, args.log_format)
    settings = load(args.config)
    account = settings.scicat
    client = SciCat(account.url, account.username, str(account.password), timeout=account.timeout)
    ingestor = Ingestor(client, settings, validation_from(settings, client))
    progress = Progress()
    dead_letters = DeadLetterProducer(settings)
    consumer = SciCowConsumer(settings, ingestor, dead_letters, progress)
    _stop_on_signals(consumer.stop)
    with serve_monitoring(settings, consumer, progress):
        _log_in(client, args.config)
        threading.Thread(target=_make_topic, args=(dead_letters,), name="dead-letter topic", daemon=True).start()
        consumer.run()
    return 0


def _log_in(client: SciCat, config: Path) -> None:
    """Now, so that a mistake in the settings is seen at once, and not with the first message."""
    log.info("datasets are written to SciCat at %s", client.base_url)
    try:
        client.login()
    except NotAllowed as error:
        log.error("%s: check scicat.username and scicat.password in %s; messages are held until then", error, config)
    except SciCatError as error:
        log.warning("SciCat does not answer, messages are held until it does: %s", error)


def _make_topic(dead_letters: DeadLetterProducer) -> None:
    """Now, so that a missing right is seen at once, and not with the first dead letter."""
    from ingest.scicow.dead_letters.producer import DeadLetterError

    while (exists := dead_letters.exists()) is None:
        time.sleep(TOPIC_RETRY_SECONDS)
    try:
        if not exists:
            dead_letters.make_topic()
    except DeadLetterError as error:
        log.error("%s; SciCow is held with the first dead letter", error)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    """The first SIGTERM or Ctrl-C stops cleanly, the second one at once."""

    def stop_cleanly(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        stop()

    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        signal.signal(number, stop_cleanly)
