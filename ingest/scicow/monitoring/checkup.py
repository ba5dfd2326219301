"""Checks from outside, in a bounded time, whether everything that SciCow needs works."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

import requests

from ingest.scicat import NotAllowed, SciCat, SciCatError
from ingest.scicow.dead_letters.topic import WaitingLetters
from ingest.scicow.kafka.group_lag import GroupQueries, GroupQueryError, TopicLag
from ingest.scicow.kafka.topics import TopicError, TopicReader
from ingest.scicow.settings import HttpSettings, SciCowSettings, SciCowSettingsError
from sdm.bounded_http import BoundedSession, fetch
from sdm.office import OfficeError, UnknownProposal, office_from

MAX_OWN_STATUS_BYTES = 1_000_000
"""Maximum size that is read of the status of a running SciCow."""

NO_PROPOSAL = "0"
"""The number of a proposal that no user office has: what it says of it shows that it answers."""


@dataclass(frozen=True)
class CheckResult:
    """One part. `text` says what is, and where it is wrong what to do; `facts` are for programs."""

    part: str
    ok: bool
    text: str
    facts: dict[str, Any] = field(default_factory=dict)


class CheckFailed(Exception):
    """What is wrong, and what to do."""

    def __init__(self, text: str, **facts: Any) -> None:
        super().__init__(text)
        self.facts = facts


Check = Callable[[], tuple[str, dict[str, Any]]]
"""The text and the facts. Raises CheckFailed."""


def checkup(settings: SciCowSettings, timeout: float, max_lag: float) -> list[CheckResult]:
    """Of each part, side by side. `timeout` is in seconds for each question, `max_lag` for the oldest message.

    Raises SciCowSettingsError.
    """
    group = GroupQueries(settings.kafka, timeout)
    checks: dict[str, Check] = {
        "Kafka": lambda: _kafka(settings, group, max_lag),
        "Dead letters": lambda: _dead_letters(settings, timeout),
        "SciCat": lambda: _scicat(settings, timeout),
        "User office": lambda: _office(settings),
        "Replica": lambda: _replica(settings.http, timeout),
    }
    # A check asks several questions; what hangs all the same is left behind.
    deadline = time.monotonic() + 4 * timeout
    answers = {part: _begin(part, check) for part, check in checks.items()}
    return [_answer(part, answer, deadline) for part, answer in answers.items()]


def _begin(part: str, check: Check) -> SimpleQueue[CheckResult]:
    answer: SimpleQueue[CheckResult] = SimpleQueue()

    def work() -> None:
        try:
            answer.put(CheckResult(part, True, *check()))
        except CheckFailed as wrong:
            answer.put(CheckResult(part, False, str(wrong), wrong.facts))
        except SciCowSettingsError as error:
            answer.put(CheckResult(part, False, str(error)))
        except Exception as error:  # noqa: BLE001 one part must not keep the others from being shown
            answer.put(CheckResult(part, False, f"internal error in SciCow, please report it: {error!r}"))

    threading.Thread(target=work, name=part, daemon=True).start()
    return answer


def _answer(part: str, answer: SimpleQueue[CheckResult], deadline: float) -> CheckResult:
    try:
        return answer.get(timeout=max(deadline - time.monotonic(), 0.0))
    except Empty:
        return CheckResult(part, False, "did not answer in time: retry with a longer --timeout")


# ------------------------------------------------------------------------------- parts


def _kafka(settings: SciCowSettings, group: GroupQueries, max_lag: float) -> tuple[str, dict[str, Any]]:
    kafka = settings.kafka
    try:
        topics = group.topics()
        lag, members = group.lag_by_topic(topics), group.members()
    except GroupQueryError as error:
        raise _away(settings, error) from error
    facts: dict[str, Any] = {
        "members": members,
        "beamlines": {topic: {"lag": lag[topic].messages, "lag_seconds": lag[topic].seconds} for topic in topics},
    }
    lost = {topic: lag[topic].lost for topic in topics if lag[topic].lost}
    if lost:
        numbers = ", ".join(f"{topic}: {number} messages" for topic, number in lost.items())
        raise CheckFailed(
            f"{numbers} were deleted by Kafka before SciCow had read them: set the topic's retention.ms to more than "
            "the longest outage; `scifish resend --since` on the beamline's machine sends them again",
            **facts,
            lost=lost,
        )
    if members == 0 and topics:  # without a topic nobody joins the group
        raise CheckFailed(f"no SciCow is in group {kafka.group_id}: start one with `scicow run`", **facts)
    late = [topic for topic in topics if _is_late(lag[topic], max_lag)]
    if late:
        raise CheckFailed(
            f"{', '.join(late)}: behind by more than {max_lag:g} s; see SciCow's log for the reason; "
            "if it is only slow, add replicas or `workers`",
            **facts,
        )
    if not topics:
        return f"{kafka.bootstrap_servers} answers; no topic matches {kafka.topics} yet", facts
    who = "" if members is None else f"; replicas in group {kafka.group_id}: {members}"
    return f"{kafka.bootstrap_servers} answers{who}", facts


def _is_late(lag: TopicLag, max_lag: float) -> bool:
    # A message that cannot be read in time is no proof that it is young.
    return lag.messages > 0 and (lag.seconds is None or lag.seconds > max_lag)


def _dead_letters(settings: SciCowSettings, timeout: float) -> tuple[str, dict[str, Any]]:
    topic = settings.dead_letter_topic
    try:
        number = WaitingLetters(settings, timeout)()
        with TopicReader(settings.kafka, timeout) as topics:
            exists = topic in topics.partitions()
    except TopicError as error:
        raise CheckFailed(str(error)) from error
    if number:
        raise CheckFailed(
            f"{number} waiting in {topic}: see the reasons with `scicow dead-letters list`", waiting=number
        )
    if not exists:
        raise CheckFailed(
            f"topic {topic} does not exist, so that nothing can be put into it: SciCow makes it when it starts, if "
            f"Kafka lets it; else make it (kafka-topics.sh --create --topic {topic})",
            waiting=0,
        )
    return f"none in {topic}", {"waiting": 0}


def _away(settings: SciCowSettings, error: GroupQueryError) -> CheckFailed:
    servers = settings.kafka.bootstrap_servers
    return CheckFailed(f"{servers}: {error}; is it running? Check the `kafka` settings.")


def _scicat(settings: SciCowSettings, timeout: float) -> tuple[str, dict[str, Any]]:
    account = settings.scicat
    client = SciCat(account.url, account.username, str(account.password), timeout=min(timeout, account.timeout))
    try:
        client.login()
        api = "v4" if client.has_v4() else "v3"
        administrator = client.is_administrator()
    except NotAllowed as error:
        raise CheckFailed(
            f"{error}; check scicat.username and scicat.password", reachable=True, accepted=False
        ) from error
    except SciCatError as error:
        raise CheckFailed(f"{error}; is it running? Check scicat.url", reachable=error.status != 0) from error
    facts = {"reachable": True, "accepted": True, "api": api, "administrator": administrator}
    if administrator is False:
        raise CheckFailed(
            f"{account.url} accepts {account.username}, which is not in its ADMIN_GROUPS: it cannot change the "
            "datasets that it has created; put the account, or a group of it, into SciCat's ADMIN_GROUPS",
            **facts,
        )
    if account.api not in ("auto", api) and api == "v3":
        raise CheckFailed(f"{account.url} has no API v4, which scicat.api requires: set it to auto", **facts)
    return f"{account.url} accepts {account.username}; API {api}", facts


def _office(settings: SciCowSettings) -> tuple[str, dict[str, Any]]:
    if not settings.user_office:
        return "not set, so proposals are not checked", {"set": False}
    try:
        office = office_from(settings.user_office)
    except OfficeError as error:
        raise CheckFailed(str(error), set=True) from error
    try:
        with suppress(UnknownProposal):
            office.proposal(NO_PROPOSAL)
    except OfficeError as error:
        raise CheckFailed(str(error), set=True, reachable=False) from error
    return f"{office.name} answers", {"set": True, "reachable": True}


def _replica(http: HttpSettings, timeout: float) -> tuple[str, dict[str, Any]]:
    if not http.port:
        return "http.port is 0, so it cannot be asked", {"status": None}
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(http.host, http.host)  # noqa: S104 the other way round
    url = f"http://{f'[{host}]' if ':' in host else host}:{http.port}/status"
    try:
        with BoundedSession() as session:
            found = json.loads(
                fetch(session, "GET", url, timeout=timeout, whole=timeout, max_bytes=MAX_OWN_STATUS_BYTES)[1]
            )
        state, held, started = str(found["state"]), str(found["held"]), str(found["started"])
    except (requests.ConnectionError, requests.Timeout):
        # It may run on another machine: Kafka knows whether any does.
        return f"none answers at {url}", {"status": None}
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise CheckFailed(
            f"{url} is not served by SciCow: does another program use that port? Set http.port", status=None
        ) from error
    if held:
        raise CheckFailed(f"held: {held}", status=found)
    return f"{state} since {started}", {"status": found}
