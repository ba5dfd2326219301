"""`scicow status`: how SciCow's replicas and topics stand."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from ingest.scicow.commands.common import Commands, add_config, duration
from ingest.scicow.commands.terminal import aligned
from ingest.scicow.mapping import Mapping
from ingest.scicow.settings import SciCowSettings, load

CLEAR_SCREEN = "\x1b[H\x1b[2J"


def add(commands: Commands) -> None:
    status = commands.add_parser(
        "status",
        help="check SciCow and the services that it needs",
        description="Check Kafka, SciCat, the user office and the SciCow of these settings, and report what is wrong "
        "and what to do. The exit status is 1 if anything is wrong, else 0.",
    )
    add_config(status)
    status.add_argument("--json", action="store_true", help="for programs")
    status.add_argument(
        "--timeout", type=duration("seconds"), default=5.0, metavar="SECONDS", help="for each question (default: 5)"
    )
    status.add_argument(
        "--max-lag",
        type=duration("seconds"),
        default=300.0,
        metavar="SECONDS",
        help="report beamlines whose oldest message waits for longer (default: 300)",
    )
    status.add_argument(
        "--watch", type=duration("seconds"), metavar="SECONDS", help="repeat with this period, until Ctrl-C"
    )
    status.set_defaults(command=_status)


def _status(args: argparse.Namespace) -> int:
    settings = load(args.config)
    Mapping(settings)  # a mistake in its page is one of the settings, and keeps SciCow from starting
    if args.watch is None:
        return _once(args, settings)
    try:
        while True:
            _once(args, settings, CLEAR_SCREEN if sys.stdout.isatty() and not args.json else "")
            time.sleep(args.watch)
    except KeyboardInterrupt:
        return 0


def _once(args: argparse.Namespace, settings: SciCowSettings, before: str = "") -> int:
    from ingest.scicow.monitoring.checkup import CheckResult, checkup  # the other commands do without Kafka

    found = [CheckResult("Settings", True, str(args.config)), *checkup(settings, args.timeout, args.max_lag)]
    ok = all(each.ok for each in found)
    if args.json:
        parts = {each.part: {"ok": each.ok, "text": each.text, **each.facts} for each in found}
        print(json.dumps({"ok": ok, "parts": parts}), flush=True)
    else:
        lines = [("ok   " if each.ok else "WRONG", each.part, each.text) for each in found]
        beamlines = [_lags(each.facts["beamlines"]) for each in found if each.facts.get("beamlines")]
        print(before + "\n".join(sum(beamlines, aligned(lines))), flush=True)
    return 0 if ok else 1


def _lags(beamlines: dict[str, dict[str, Any]]) -> list[str]:
    rows = [("topic", "not done", "oldest")]
    for topic, lag in beamlines.items():
        rows.append((topic, str(lag["lag"]), "?" if lag["lag_seconds"] is None else f"{lag['lag_seconds']:.0f} s"))
    return ["", *aligned(rows)]
