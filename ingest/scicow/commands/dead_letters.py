"""`scicow dead-letters`: lists, shows and settles dead letters."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ingest.scicow.commands.common import Commands, add_config, with_topics
from ingest.scicow.commands.terminal import ProgressLine, aligned, confirmed, cut_to_terminal, plain_lines
from ingest.scicow.kafka.range_arguments import TIME_FORMATS, iso_seconds, parse_time
from ingest.scicow.logs import plain
from ingest.scicow.settings import SciCowSettings

if TYPE_CHECKING:
    from confluent_kafka import Message as KafkaMessage

    from ingest.scicow.dead_letters.topic import Letter, LetterId, Settlement
    from ingest.scicow.kafka.topics import TopicReader

EXCERPT = 2000
"""Bytes that are shown of a message that is not JSON."""


def add(commands: Commands) -> None:
    letters = commands.add_parser(
        "dead-letters",
        help="list messages that could not be ingested, send them again, or drop them",
        description="The messages that could not be ingested are in the dead-letter topic, with the reason. A letter "
        "is settled by a record in the same topic, so several people may do this at once, and while SciCow runs.",
    ).add_subparsers(required=True, metavar="COMMAND")

    found = letters.add_parser("list", help="list the waiting letters, the newest last")
    add_config(found)
    _add_filters(found)
    found.add_argument("--json", action="store_true", help="one JSON list, whole reasons")
    found.set_defaults(command=with_topics(_list))

    show = letters.add_parser("show", help="show one letter completely: headers, stack, message")
    add_config(show)
    show.add_argument("id", metavar="ID", type=_id, help="as `list` shows it: PARTITION:OFFSET")
    show.set_defaults(command=with_topics(_show))

    export = letters.add_parser("export", help="write the message of one letter to stdout, as it is")
    add_config(export)
    export.add_argument("id", metavar="ID", type=_id)
    export.set_defaults(command=with_topics(_export))

    replay = letters.add_parser(
        "replay",
        help="send the messages of letters again",
        description="Send the original message again, with its key and headers, to its topic. What cannot be ingested "
        "this time either comes back as a new letter.",
    )
    _add_which(replay)
    replay.set_defaults(command=with_topics(_replay))

    drop = letters.add_parser(
        "drop", help="mark letters as dropped", description="Mark letters as dropped. They stay in the topic."
    )
    _add_which(drop)
    drop.add_argument("--yes", action="store_true", help="do not ask")
    drop.set_defaults(command=with_topics(_drop))


def _add_which(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "ids", metavar="ID", nargs="*", type=_id, default=[], help="PARTITION:OFFSET, as `list` shows it"
    )
    which.add_argument("--all", action="store_true", help="all waiting letters that match the filters")
    _add_filters(parser)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topic", action="append", help="only messages of this topic (may be given several times)")
    parser.add_argument("--uuid", action="append", help="only messages of this dataset (may be given several times)")
    parser.add_argument(
        "--reason", action="append", metavar="TEXT", help="only reasons with this text (may be given several times)"
    )
    parser.add_argument(
        "--since", type=parse_time, metavar="TIME", help=f"only letters written since then: {TIME_FORMATS}"
    )


def _id(text: str) -> LetterId:
    from ingest.scicow.dead_letters.topic import LetterId

    try:
        return LetterId.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def passes(letter: Letter, args: argparse.Namespace) -> bool:
    """Whether the filters let it through: each that is given must, by one of its values."""
    reason = letter.reason.casefold()
    return (
        (not args.topic or letter.topic in args.topic)
        and (not args.uuid or letter.uuid in args.uuid)
        and (not args.reason or any(text.casefold() in reason for text in args.reason))
        and (args.since is None or letter.when >= args.since)
    )


# --------------------------------------------------------------------------------- commands


def _list(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader) -> int:
    waiting, _ = _read(settings, topics)
    chosen = [letter for letter in waiting.values() if passes(letter, args)]
    if args.json:
        print(json.dumps([as_json(letter) for letter in chosen], indent=2))
        return 0
    if chosen:
        print(listed(chosen))
    others = f" ({len(waiting)} in all)" if len(waiting) > len(chosen) else ""
    print(f"{_number(len(chosen))} in topic {settings.dead_letter_topic}{others}")
    return 0


def _show(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader) -> int:
    message = _one(args.id, settings, topics)
    if message is None:
        return 1
    _, settled = _read(settings, topics)
    print(shown(message, settled.get(args.id)))
    return 0


def _export(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader) -> int:
    from ingest.scicow.dead_letters.topic import letter_of, whole_message

    message = _one(args.id, settings, topics)
    if message is None:
        return 1
    try:
        value = whole_message(topics, message, letter_of(message)).value()
    except LookupError as error:
        print(f"scicow: dead letter {args.id}: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(value or b"")
    return 0


def _replay(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader) -> int:
    return _settle(args, settings, topics, "replayed")


def _drop(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader) -> int:
    return _settle(args, settings, topics, "dropped")


def _settle(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader, how: str) -> int:
    from ingest.scicow.dead_letters.topic import LetterSettler
    from ingest.scicow.kafka.topics import RecordWriter

    if args.ids and (args.topic or args.uuid or args.reason or args.since is not None):
        print("scicow: give either ids, or --all with filters", file=sys.stderr)
        return 2
    waiting, settled = _read(settings, topics)
    if args.all:
        ids = [letter.id for letter in waiting.values() if passes(letter, args)]
    else:
        ids = list(dict.fromkeys(args.ids))
        unknown = [each for each in ids if each not in waiting]
        for each in unknown:
            print(f"scicow: {_why_not(each, settled)}", file=sys.stderr)
        if unknown:
            return 1  # nothing is done: they may be of another list than was meant
    if how == "dropped" and ids and not args.yes:
        question = f"Drop {_number(len(ids))}? They stay in topic {settings.dead_letter_topic}, but are not listed."
        if not confirmed(question):
            print("nothing is dropped; use --yes if there is no terminal", file=sys.stderr)
            return 1
    settling = LetterSettler(topics, RecordWriter(settings.kafka), settings.dead_letter_topic)
    count = ProgressLine(how, len(ids))
    try:
        (settling.replay if how == "replayed" else settling.drop)(ids, count)
    finally:
        count.over()
        for identity, why in settling.failed:
            print(f"scicow: dead letter {identity}: {plain(why)}", file=sys.stderr)
        left = len(ids) - settling.done
        print(f"{_number(settling.done)} {how}" + (f", {left:,} others are still waiting" if left else ""))
    return 1 if settling.failed else 0


def _read(settings: SciCowSettings, topics: TopicReader) -> tuple[dict[LetterId, Letter], dict[LetterId, Settlement]]:
    from ingest.scicow.dead_letters.topic import DeadLetterTopic

    count = ProgressLine(f"reading topic {settings.dead_letter_topic}")
    try:
        return DeadLetterTopic(topics, settings.dead_letter_topic).read(count)
    finally:
        count.over()


def _one(wanted: LetterId, settings: SciCowSettings, topics: TopicReader) -> KafkaMessage | None:
    from ingest.scicow.dead_letters.topic import DeadLetterTopic

    found = DeadLetterTopic(topics, settings.dead_letter_topic).one(wanted)
    if found is None:
        print(f"scicow: there is no dead letter {wanted} in topic {settings.dead_letter_topic}", file=sys.stderr)
    return found


def _why_not(wanted: LetterId, settled: dict[LetterId, Settlement]) -> str:
    found = settled.get(wanted)
    if found is None:
        return f"there is no dead letter {wanted}: see `scicow dead-letters list`"
    return f"dead letter {wanted} is not waiting: {_settlement(found)}"


def _settlement(found: Settlement) -> str:
    to = f" to {found.to}" if found.to else ""
    return plain(f"{found.how}{to} by {found.by} at {found.when}")


def _number(count: int) -> str:
    return f"{count:,} dead letter{'' if count == 1 else 's'}"


# ------------------------------------------------------------------------------------ texts


def listed(letters: Iterable[Letter]) -> str:
    """A table."""
    rows = []
    for letter in letters:
        # Whatever a broken message has there: it must not push the reasons out of sight.
        of_message = (letter.beamline or letter.topic, letter.type, letter.name, letter.uuid)
        short = [text if len(text) <= 40 else text[:39] + "…" for text in of_message]
        rows.append(
            (str(letter.id), iso_seconds(letter.when), *short, letter.reason + (" (cut)" if letter.cut else ""))
        )
    return cut_to_terminal(aligned([("ID", "WHEN", "BEAMLINE", "TYPE", "DATASET", "UUID", "REASON"), *rows]))


def as_json(letter: Letter) -> dict[str, object]:
    """For programs; names stay."""
    return {
        "id": str(letter.id),
        "when": iso_seconds(letter.when),
        "topic": letter.topic,
        "partition": letter.origin.partition if letter.origin else None,
        "offset": letter.origin.offset if letter.origin else None,
        "beamline": letter.beamline,
        "type": letter.type,
        "name": letter.name,
        "uuid": letter.uuid,
        "reason": letter.reason,
        "cut": letter.cut,
    }


def shown(message: KafkaMessage, settled: Settlement | None) -> str:
    """All of a letter: the facts, each header, the stack, the message."""
    from ingest.scicow.dead_letters.producer import ERROR_HEADER_PREFIX
    from ingest.scicow.dead_letters.topic import header_texts, letter_of
    from ingest.scicow.kafka.topics import headers_of

    letter = letter_of(message)
    headers = header_texts(headers_of(message))
    stack = headers.pop(f"{ERROR_HEADER_PREFIX}exception.stacktrace", "")
    key = (message.key() or b"").decode("utf-8", "backslashreplace")
    facts = {
        "id": str(letter.id),
        "state": _settlement(settled) if settled else "waits",
        "when": iso_seconds(letter.when),
        "from": str(letter.origin or "unknown"),
        "key": plain(key) or "none",
    }
    facts |= {f"header {plain(name)}": plain(text) for name, text in headers.items()}
    lines = [f"{name}: {text}" for name, text in facts.items()]
    return "\n".join([*lines, "", plain_lines(stack).rstrip(), "", readable(message.value() or b"")])


def readable(value: bytes) -> str:
    """JSON with indents, else text, else a dump of bytes; what is not JSON is cut to its beginning."""
    try:
        return plain_lines(json.dumps(json.loads(value), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        more = f"\n... of {len(value):,} bytes; all: `scicow dead-letters export`" if len(value) > EXCERPT else ""
        return _excerpt(value[:EXCERPT]) + more


def _excerpt(value: bytes) -> str:
    text = value.decode("utf-8", "ignore")
    # The end may be in the middle of a character.
    if "\0" not in text and len(value) - len(text.encode()) <= (3 if len(value) == EXCERPT else 0):
        return plain_lines(text)
    rows = (value[at : at + 16] for at in range(0, len(value), 16))
    return "\n".join(
        f"{16 * number:08x}  {row.hex(' '):<47}  {''.join(chr(each) if 32 <= each < 127 else '.' for each in row)}"
        for number, row in enumerate(rows)
    )
