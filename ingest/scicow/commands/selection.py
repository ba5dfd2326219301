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
        help="of this beamline: its topics by kafka.beamline_topics (may be given several times)",
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
    of_beamlines = [topic for beamline in args.beamline or [] for topic in topics_of(beamline, there, settings)]
    named = [*(args.topic or []), *of_beamlines]
    return list(dict.fromkeys(named))


def read_by_scicow(settings: SciCowSettings, topics: TopicReader) -> list[str]:
    """Names of the beamlines' topics."""
    return sorted(name for name in topics.partitions() if re.search(settings.kafka.topics, name))


def topics_of(beamline: str, there: Iterable[str], settings: SciCowSettings) -> list[str]:
    """The beamline's topics among these. TopicError if there is none."""
    from ingest.scicow.kafka.topics import TopicError

    names = list(there)
    found = [name for name in names if settings.kafka.may_write(beamline, name)]
    if not found:
        wanted, known = ", ".join(settings.kafka.topics_of(beamline)), ", ".join(names) or "none"
        raise TopicError(
            f"beamline {beamline}: there is no topic {wanted}; use --topic, or correct kafka.beamline_topics in the "
            f"settings (SciCow reads {known})"
        )
    return found


def ranges(names: list[str], begin: RangeBound, end: RangeBound | None, topics: TopicReader) -> list[OffsetRange]:
    """Of all the topics. TopicError where offsets are given for several."""
    from ingest.scicow.kafka.topics import TopicError

    if len(names) > 1 and (isinstance(begin, Mapping) or isinstance(end, Mapping)):
        raise TopicError("offsets belong to one topic: give a time, or one --topic")
    return [each for name in names for each in topics.range(name, begin, end)]
