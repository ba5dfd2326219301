"""Points of time and of topics, as people write them on a command line."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import time
from collections.abc import Callable

from ingest.scicow.kafka.topics import Moment, Point

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

TIMES = "2026-11-22, 2026-11-22T10:00 (UTC, or with an offset like +01:00), or how long ago: 90m, 12h, 7d"


def moment(text: str, now: Callable[[], float] = time.time) -> Moment:
    """Seconds since 1970. ArgumentTypeError if it is neither a time nor an age."""
    age = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", text)
    if age:
        return now() - float(age[1]) * _UNITS[age[2]]
    try:
        found = dt.datetime.fromisoformat(text)
        if text.isdigit():  # 20261122 would be a day, and may be meant as an offset
            raise ValueError
        # As everything that SciCow prints.
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write {TIMES}") from error


def point(text: str, now: Callable[[], float] = time.time) -> Point:
    """A time, or offsets: `1200`, or `PARTITION:OFFSET` with commas between them."""
    if re.fullmatch(r"\d{1,18}", text):
        return {None: int(text)}
    if not re.fullmatch(r"\d{1,9}:\d{1,18}(,\d{1,9}:\d{1,18})*", text):
        try:
            return moment(text, now)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; or an offset: 1200, or PARTITION:OFFSET like 0:1200") from error
    offsets: dict[int | None, int] = {}
    for part in text.split(","):
        partition, offset = map(int, part.split(":"))
        if partition in offsets:
            raise argparse.ArgumentTypeError(f"{text!r} has partition {partition} twice")
        offsets[partition] = offset
    return offsets


def shown(point: Point) -> str:
    """As `point` reads it."""
    if isinstance(point, float | int):
        return iso_seconds(point)
    return ",".join(
        f"{partition}:{offset}" if partition is not None else str(offset) for partition, offset in point.items()
    )


def iso_seconds(moment: Moment) -> str:
    """A time for people: to the second, UTC, with Z."""
    try:
        return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # nothing keeps a producer from writing any time
        return "-"
