"""Which topics a command is about, and which part of them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from ingest.scicow.settings import SciCowSettings

if TYPE_CHECKING:
    from ingest.scicow.kafka.topics import OffsetRange, RangeBound, TopicReader


def add_topics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--topic", action="append", help="of this topic (may be given several times)")
    parser.add_argument(
        "--beamline",
        action="append",
        help="of this beamline: the topic whose name ends with it (may be given several times)",
    )


def selected(args: argparse.Namespace, settings: SciCowSettings, topics: TopicReader) -> list[str]:
    """The names of the topics that are asked for; none if none are. TopicError if one is not SciCow's, or not there."""
    from ingest.scicow.kafka.topics import TopicError

    if not args.topic and not args.beamline:
        return []
    there = read_by_scicow(settings, topics)
    for name in args.topic or []:
        if name not in there:
            known = ", ".join(there) or "none"
            raise TopicError(f"there is no topic {name} that SciCow reads ({settings.kafka.topics}): it reads {known}")
    named = [*(args.topic or []), *(topic_of(beamline, there) for beamline in args.beamline or [])]
    return list(dict.fromkeys(named))


def read_by_scicow(settings: SciCowSettings, topics: TopicReader) -> list[str]:
    """Names of the beamlines' topics."""
    return sorted(name for name in topics.partitions() if re.search(settings.kafka.topics, name))


def topic_of(beamline: str, there: Iterable[str]) -> str:
    """The topic of a beamline by its name. TopicError if there is none, or not only one."""
    from ingest.scicow.kafka.topics import TopicError

    names = list(there)
    if f"scifish-{beamline}" in names:
        return f"scifish-{beamline}"
    found = [name for name in names if name.endswith(f"-{beamline}")]
    if len(found) == 1:
        return found[0]
    known = ", ".join(found or names) or "none"
    raise TopicError(f"beamline {beamline}: its topic cannot be found by name; use --topic (SciCow reads {known})")


def ranges(names: list[str], begin: RangeBound, end: RangeBound | None, topics: TopicReader) -> list[OffsetRange]:
    """Of all the topics. TopicError where offsets are given for several."""
    from ingest.scicow.kafka.topics import TopicError

    if len(names) > 1 and (isinstance(begin, Mapping) or isinstance(end, Mapping)):
        raise TopicError("offsets belong to one topic: give a time, or one --topic")
    return [each for name in names for each in topics.range(name, begin, end)]
