"""The command `scicow`."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Any

try:
    import jsonschema  # noqa: F401 - asked for here, and not with the first message
except ImportError as missing:
    sys.exit(f"scicow: {missing}; say: pip install 'sardana-scizoo[ingest]'")

from ingest import mapping
from ingest.settings import Settings, SettingsError, load, shown
from scifish.message import Message, MessageError, decode


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

    run = commands.add_parser(
        "run",
        help="ingest until SIGTERM or Ctrl-C",
        description="Read the topics of all beamlines and bring SciCat to what they say. A message counts as done "
        "when SciCat has it, or when the dead-letter topic has it with the reason; while SciCat is away, "
        "SciCow waits. It stops cleanly with SIGTERM or Ctrl-C.",
    )
    _add_config(run)
    run.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error"), help="(default: info)"
    )
    run.set_defaults(command=_run)

    config = commands.add_parser("config", help="look at the settings").add_subparsers(required=True, metavar="COMMAND")
    show = config.add_parser("show", help="print the settings in force, defaults included, secrets hidden")
    _add_config(show)
    show.set_defaults(command=_show)

    check = commands.add_parser(
        "check-mapping",
        help="show what a message becomes in SciCat",
        description="Check a message against its schema and print what SciCow would send to SciCat. Nothing is sent.",
    )
    _add_config(check)
    check.add_argument("message", type=argparse.FileType("rb"), help="a file with one message in JSON; - for stdin")
    check.set_defaults(command=_check_mapping)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, default=Path("scicow.yaml"), metavar="FILE", help="settings (default: scicow.yaml)"
    )


def _run(args: argparse.Namespace) -> int:
    from ingest.consumer import SciCow  # the other commands do without Kafka
    from ingest.deadletters import DeadLetters
    from ingest.ingestor import Ingestor
    from ingest.scicat import NotAllowed, SciCat, SciCatError

    logging.basicConfig(
        level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    settings = load(args.config)
    account = settings.scicat
    client = SciCat(account.url, account.username, str(account.password), timeout=account.timeout)
    cow = SciCow(settings, Ingestor(client, settings), DeadLetters(settings))
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


def _show(args: argparse.Namespace) -> int:
    print(shown(load(args.config, secrets=False)), end="")
    return 0


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
    return {"dataset": mapping.dataset(message, settings), "files": mapping.files(message)}


if __name__ == "__main__":
    sys.exit(main())
