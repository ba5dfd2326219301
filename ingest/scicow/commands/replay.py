"""`scicow replay`: sends messages of a topic again."""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

from ingest.scicow.commands.common import Commands, add_config, with_topics
from ingest.scicow.commands.selection import add_topics, ranges, selected
from ingest.scicow.commands.terminal import ProgressLine
from ingest.scicow.kafka.range_arguments import format_bound, parse_bound
from ingest.scicow.settings import SciCowSettings

if TYPE_CHECKING:
    from ingest.scicow.kafka.resend import Replay
    from ingest.scicow.kafka.topics import TopicReader


def add(commands: Commands) -> None:
    replay = commands.add_parser(
        "replay",
        help="send the messages of a range of times or offsets again",
        description="Send the messages of a range again to their topic, each once, with key and headers. What SciCat "
        "already has stays unchanged. The range ends at the present end of the topic at the latest.",
    )
    add_config(replay)
    add_topics(replay)
    replay.add_argument(
        "--from",
        dest="begin",
        type=parse_bound,
        required=True,
        metavar="TIME|OFFSET",
        help="start of the range (2026-11-22T10:00 in UTC, 12h, 7d), or an offset (1200, or PARTITION:OFFSET,...)",
    )
    replay.add_argument(
        "--to",
        dest="end",
        type=parse_bound,
        metavar="TIME|OFFSET",
        help="end of the range, exclusive (default: the present end of the topic)",
    )
    replay.add_argument("--uuid", action="append", help="only this dataset's messages (may be given several times)")
    replay.add_argument("--dry-run", action="store_true", help="only report what would be sent")
    replay.set_defaults(command=with_topics(_replay))


def _replay(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader) -> int:
    from ingest.scicow.kafka.resend import Replay
    from ingest.scicow.kafka.topics import RecordWriter, TopicError

    names = selected(args, settings, topics)
    if not names:
        print("scicow: select messages with --topic or --beamline", file=sys.stderr)
        return 2
    wanted = ranges(names, args.begin, args.end, topics)
    for each in wanted:
        if each.start == each.first_available > 0:
            print(
                f"{each.topic}[{each.partition}]: messages before offset {each.first_available} are no longer in Kafka"
            )
    total = sum(map(len, wanted))
    print(f"{total:,} messages of {', '.join(names)} from {format_bound(args.begin)} are checked")
    replay = Replay(wanted, "replay", uuids=set(args.uuid) if args.uuid else None)
    count = ProgressLine("checked", total)
    try:
        replay.run(topics, None if args.dry_run else RecordWriter(settings.kafka), count)
    except (KeyboardInterrupt, TopicError):
        count.over()
        print("not finished. Continue with (some messages may be sent twice, which changes nothing):", file=sys.stderr)
        for line in going_on(replay, args):
            print(f"  {line}", file=sys.stderr)
        raise
    finally:
        count.over()
        _say(replay, names, args.dry_run)
    return 1 if replay.refused else 0


def _say(replay: Replay, names: list[str], dry_run: bool) -> None:
    done = "would be sent" if dry_run else "sent"
    for name in names:
        print(f"{name}: {replay.sent[name]:,} messages {done} again")
    if replay.copies:
        print(f"{replay.copies:,} left out: copies of others in the range")
    for place, why in replay.refused:
        print(f"scicow: {place}: Kafka refuses to accept it again: {why}", file=sys.stderr)


def going_on(replay: Replay, args: argparse.Namespace) -> list[str]:
    """Commands that send what is left, up to where the range ended when it was fixed."""
    left = replay.left()
    lines = []
    for topic in dict.fromkeys(each.topic for each in left):
        parts = [each for each in left if each.topic == topic]
        words = ["scicow", "replay", "--config", str(args.config), "--topic", topic]
        words += ["--from", ",".join(f"{each.partition}:{each.start}" for each in parts)]
        words += ["--to", ",".join(f"{each.partition}:{each.end}" for each in parts)]
        words += [word for uuid in args.uuid or [] for word in ("--uuid", uuid)]
        lines.append(shlex.join(words))
    return lines
