"""Times and offsets, as people write them on a command line."""

from __future__ import annotations

import argparse
import datetime as dt
import re
import time
from collections.abc import Callable

from ingest.scicow.kafka.topics import RangeBound, Timestamp

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

TIME_FORMATS = "2026-11-22, 2026-11-22T10:00 (UTC, or with an offset like +01:00), or how long ago: 90m, 12h, 7d"


def parse_time(text: str, now: Callable[[], float] = time.time) -> Timestamp:
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: write {TIME_FORMATS}") from error


def parse_bound(text: str, now: Callable[[], float] = time.time) -> RangeBound:
    """A time, or offsets: `1200`, or `PARTITION:OFFSET` with commas between them."""
    if re.fullmatch(r"\d{1,18}", text):
        return {None: int(text)}
    if not re.fullmatch(r"\d{1,9}:\d{1,18}(,\d{1,9}:\d{1,18})*", text):
        try:
            return parse_time(text, now)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; or an offset: 1200, or PARTITION:OFFSET like 0:1200") from error
    offsets: dict[int | None, int] = {}
    for part in text.split(","):
        partition, offset = map(int, part.split(":"))
        if partition in offsets:
            raise argparse.ArgumentTypeError(f"{text!r} names partition {partition} twice")
        offsets[partition] = offset
    return offsets


def format_bound(bound: RangeBound) -> str:
    """As `parse_bound` reads it."""
    if isinstance(bound, float | int):
        return iso_seconds(bound)
    return ",".join(
        f"{partition}:{offset}" if partition is not None else str(offset) for partition, offset in bound.items()
    )


def iso_seconds(time_: Timestamp) -> str:
    """A time for people: to the second, UTC, with Z."""
    try:
        return dt.datetime.fromtimestamp(time_, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # nothing keeps a producer from writing any time
        return "-"
