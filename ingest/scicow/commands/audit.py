"""`scicow audit`: compares messages, dead letters and spools with the catalogue."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.scicow.commands.common import Commands, add_config, duration, with_topics
from ingest.scicow.commands.selection import add_topics, ranges, read_by_scicow, selected
from ingest.scicow.commands.terminal import ProgressLine, aligned
from ingest.scicow.kafka.range_arguments import TIME_FORMATS, iso_seconds, parse_time
from ingest.scicow.logs import plain
from ingest.scicow.settings import SciCowSettings

if TYPE_CHECKING:
    from ingest.scicow.audit.auditor import Auditor
    from ingest.scicow.audit.findings import AuditFinding, AuditReport
    from ingest.scicow.kafka.topics import OffsetRange, TopicReader


def add(commands: Commands) -> None:
    audit = commands.add_parser(
        "audit",
        help="compare what was sent with what the catalogue has",
        description="Compare the messages of a time, and what waits in spools, with the catalogue: each dataset that "
        "is missing, double, incomplete or still running is named, and each message that is lost. What SciCow has not "
        "ingested yet counts as on its way, not as missing. Exit status: 0 nothing is wrong, 1 something is wrong, 2 "
        "the audit failed.",
    )
    add_config(audit)
    add_topics(audit)
    audit.add_argument(
        "--from",
        dest="begin",
        type=parse_time,
        required=True,
        metavar="TIME",
        help=f"messages sent since then: {TIME_FORMATS}",
    )
    audit.add_argument("--to", dest="end", type=parse_time, metavar="TIME", help="and before then (default: now)")
    audit.add_argument(
        "--spool",
        action="append",
        type=Path,
        default=[],
        metavar="FILE",
        help="what `scifish list --json` has written on a beamline's machine (may be given several times)",
    )
    audit.add_argument(
        "--running-hours",
        type=duration("hours"),
        default=24.0,
        metavar="N",
        help="report datasets that run for longer (default: 24)",
    )
    audit.add_argument(
        "--thorough", action="store_true", help="compare each file of each dataset, not only their number and size"
    )
    audit.add_argument("--json", action="store_true", help="one JSON object")
    audit.add_argument(
        "--repair", action="store_true", help="send all messages of missing or incomplete datasets again"
    )
    audit.set_defaults(command=with_topics(_audit, secrets=True))


def _audit(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader) -> int:
    from ingest.scicat import SciCat
    from ingest.scicow.audit import spool_listing
    from ingest.scicow.audit.auditor import AuditOptions, Auditor

    try:
        listings = [spool_listing.read(path) for path in args.spool]
    except spool_listing.SpoolFileError as error:
        print(f"scicow: {error}", file=sys.stderr)
        return 2
    now = time.time()
    options = AuditOptions(args.begin, min(args.end or now, now), args.running_hours * 3600, args.thorough)
    if options.end <= options.begin:
        print("scicow: --to must be after --from, and --from must be in the past", file=sys.stderr)
        return 2
    names = selected(args, settings, topics) or read_by_scicow(settings, topics)
    wanted = ranges(names, args.begin, args.end, topics)
    account = settings.scicat
    client = SciCat(account.url, account.username, str(account.password), timeout=account.timeout)
    counts = ProgressLines()
    auditor = Auditor(settings, topics, client, wanted, options, counts.new)
    try:
        report = auditor.audit(listings)
    finally:
        counts.over()
    report.notes += notes(names, wanted, settings)
    repaired = _repair(auditor, settings, topics, wanted) if args.repair else None
    print(as_json(report, names, repaired) if args.json else shown(report, names, repaired))
    return 1 if report.findings else 0


def _repair(auditor: Auditor, settings: SciCowSettings, topics: TopicReader, wanted: list[OffsetRange]) -> int:
    """How many messages were sent again."""
    from ingest.scicow.kafka.resend import Replay
    from ingest.scicow.kafka.topics import RecordWriter

    uuids = auditor.report.repairable()
    if not uuids:
        return 0
    replay = Replay(wanted, "audit", uuids, without=auditor.dead)
    count = ProgressLine("sending again, messages checked", sum(map(len, wanted)))
    try:
        replay.run(topics, RecordWriter(settings.kafka), count)
    finally:
        count.over()
    auditor.report.notes += [f"{place}: Kafka refuses to accept it again: {why}" for place, why in replay.refused]
    return sum(replay.sent.values())


class ProgressLines:
    """One line of progress after the other."""

    def __init__(self) -> None:
        self._now: ProgressLine | None = None

    def new(self, what: str, of: int) -> Callable[[int], None]:
        self.over()
        self._now = ProgressLine(what, of)
        return self._now

    def over(self) -> None:
        if self._now:
            self._now.over()


def notes(names: list[str], wanted: list[OffsetRange], settings: SciCowSettings) -> list[str]:
    """What limits the result."""
    found = [] if names else [f"SciCow reads no topic ({settings.kafka.topics})"]
    return found + [
        f"{each.topic}[{each.partition}]: messages before offset {each.first_available} are no longer in Kafka"
        for each in wanted
        if each.start == each.first_available > 0
    ]


# ------------------------------------------------------------------------------------ texts


def shown(report: AuditReport, names: list[str], repaired: int | None) -> str:
    """A summary, and a line for each finding."""
    from ingest.scicow.audit.findings import FINDING_KINDS

    lines = [
        f"{', '.join(names) or 'no topic'}: sent from {iso_seconds(report.begin)} to {iso_seconds(report.end)}",
        "",
    ]
    rows = [(what, f"{number:,}", "") for what, number in report.counts.items()]
    for kind, meaning in FINDING_KINDS.items():
        number = sum(each.kind == kind for each in report.findings)
        rows += [(kind.upper(), f"{number:,}", meaning)] if number else []
    lines += aligned([("", "NUMBER", ""), *rows])
    if report.findings:
        lines += ["", *(_line(each) for each in report.sorted())]
    lines += [f"note: {plain(each)}" for each in report.notes]
    lines += ["", _end(report, repaired)]
    return "\n".join(lines)


def _line(found: AuditFinding) -> str:
    who = " ".join(filter(None, (found.beamline or found.topic, found.uuid, repr(found.name) if found.name else "")))
    return plain(f"{found.kind}: {who}: {'; '.join(found.what)}")


def _end(report: AuditReport, repaired: int | None) -> str:
    if not report.findings:
        return "nothing is wrong"
    count = len(report.repairable())
    if repaired is not None:
        return (
            f"sent again: {repaired:,} messages of {count:,} datasets; repeat the audit when SciCow has ingested them"
        )
    if count:
        return f"{count:,} of these datasets can be sent again: --repair"
    return "sending again solves none of these"


def as_json(report: AuditReport, names: list[str], repaired: int | None) -> str:
    """For programs; names stay."""
    found = {
        "topics": names,
        "from": iso_seconds(report.begin),
        "to": iso_seconds(report.end),
        "counts": {name.replace(" ", "_"): number for name, number in report.counts.items()},
        "findings": [
            {
                "kind": each.kind,
                "uuid": each.uuid,
                "name": each.name,
                "beamline": each.beamline,
                "topic": each.topic,
                "what": list(each.what),
                "repairable": each.repairable,
            }
            for each in report.sorted()
        ],
        "notes": report.notes,
        "sent_again": repaired,
    }
    return json.dumps(found, indent=2)
