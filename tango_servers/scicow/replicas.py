"""Reads `/status` of the replicas of SciCow (docs/reference/scicow.md), and adds them up."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from sdm.bounded_http import AnswerTooLarge, AnswerTooSlow, BoundedSession, fetch
from sdm.office.model import one_line

MAX_STATUS_BYTES = 1_000_000
"""Maximum bytes of an answer. A beamline takes about 150."""


class NoStatus(Exception):
    """A replica gives no answer, or no valid one. The text is for people, and says what to do."""


@dataclass(frozen=True)
class TopicCounts:
    """The counts of one topic. The lag, in messages and in seconds, is None if another replica reads the topic."""

    lag: int | None
    lag_seconds: float | None
    ingested: int
    retried: int
    missing: int


@dataclass(frozen=True)
class Replica:
    """A replica that has answered.

    `dead_letters` is the number of all waiting dead letters, of any source; None if unknown.
    """

    held: str
    topics: Mapping[str, TopicCounts]
    dead_letters: int | None


@dataclass(frozen=True)
class ReplicaTotals:
    """The totals of all replicas. None means unknown: no replica has reported it."""

    lag: int | None
    lag_seconds: float | None
    ingested: int
    retried: int
    held: str
    topics: tuple[str, ...]
    dead_letters: int | None


def check_url(url: str) -> str:
    """What is wrong with a replica's address, and what to do; "" if nothing is."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if "@" in url:
        return "an address of Urls contains a user name or a password: remove it"
    return "" if good else f"Urls: {one_line(url)!r} is not like http://host:9404"


def ask(url: str, timeout: float) -> Replica:
    """Query a replica. Gives up after about `timeout` seconds. Raises NoStatus."""
    address = url.rstrip("/").removesuffix("/status") + "/status"
    try:
        with BoundedSession() as session:
            answer, data = fetch(session, "GET", address, timeout=timeout, whole=timeout, max_bytes=MAX_STATUS_BYTES)
    except (AnswerTooLarge, AnswerTooSlow) as error:
        raise NoStatus(f"{url} does not end its answer: is it SciCow's http.port?") from error
    except requests.Timeout as error:
        raise NoStatus(
            f"{url} has not answered within {timeout:g} s: is its machine overloaded or switched off?"
        ) from error
    except (requests.RequestException, UnicodeError) as error:  # UnicodeError: an invalid host name
        raise NoStatus(
            f"{url} does not answer: is that SciCow running, and can its http.port be reached from here?"
        ) from error
    if answer.status_code != 200:
        raise NoStatus(f"{url} answers with status {answer.status_code}: is it SciCow's http.port?")
    try:
        return parse(data)
    except ValueError as error:
        raise NoStatus(f"{url} does not answer with SciCow's status: is it SciCow's http.port?") from error


def parse(data: bytes) -> Replica:
    """Parse the body of `/status`. Raises ValueError if it is invalid."""
    try:
        value = json.loads(data)
        beamlines = value["beamlines"].items()
        return Replica(
            held=one_line(_text(value["held"])),
            topics={one_line(topic): _counts(fields) for topic, fields in beamlines},
            dead_letters=None if value["dead_letters"] is None else _count(value["dead_letters"]),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("not a status of SciCow's") from error


def total(replicas: Sequence[Replica], topic: str) -> ReplicaTotals:
    """The totals of this topic, or of all topics for ""."""
    topics = sorted({name for each in replicas for name in each.topics if topic in ("", name)})
    counts = [each.topics[name] for each in replicas for name in topics if name in each.topics]
    lags = [each.lag for each in counts if each.lag is not None]
    ages = [each.lag_seconds for each in counts if each.lag_seconds is not None]
    # Without any topic, nothing can wait; without the requested topic, its lag is unknown.
    nothing = None if topics or topic else 0
    letters = [each.dead_letters for each in replicas if each.dead_letters is not None]
    return ReplicaTotals(
        lag=sum(lags) if lags else nothing,
        lag_seconds=max(ages) if ages else nothing,
        ingested=sum(each.ingested for each in counts),
        retried=sum(each.retried for each in counts),
        held="; ".join(dict.fromkeys(each.held for each in replicas if each.held)),
        topics=tuple(topics),
        dead_letters=max(letters, default=None),  # all replicas count the same dead-letter topic
    )


def missing(replica: Replica, topic: str) -> int:
    """The number of messages that this replica has missed, of this topic, or of all topics for ""."""
    return sum(counts.missing for name, counts in replica.topics.items() if topic in ("", name))


def _counts(fields: Mapping[str, Any]) -> TopicCounts:
    lag, seconds = fields["lag"], fields["lag_seconds"]
    return TopicCounts(
        lag=None if lag is None else _count(lag),
        lag_seconds=None if seconds is None else _seconds(seconds),
        **{name: _count(fields[name]) for name in ("ingested", "retried", "missing")},
    )


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise ValueError("not a count")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError("not a number of seconds")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value
