"""The Tango device that shows the state of SciCow, which writes the metadata to SciCat, in the control room.

It queries each replica of SciCow over HTTP in a thread of its own: clients never wait for that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import tango
from tango import AttrQuality, DevState
from tango.server import Device, attribute, command, device_property, run

from tango_servers.common.background import PeriodicThread, call_all
from tango_servers.common.condition import Condition
from tango_servers.common.replies import AttributePublisher, sendable
from tango_servers.scicow.replicas import NoStatus, Replica, ReplicaTotals, ask, check_url, missing, total

MAX_BEAMLINES = 1000

UNREAD_SECONDS = 30.0
"""Maximum seconds without a reader of a topic: replicas that start or stop pass it on."""

Value = int | float | str | tuple[str, ...]
Read = tuple[Value, float, AttrQuality]


@dataclass(frozen=True, eq=False)
class SciCowProperties:
    """The checked properties. Times are in seconds; `topic` "" means all."""

    urls: tuple[str, ...]
    topic: str
    max_lag: float
    period: float
    timeout: float
    problems: tuple[str, ...]


class SciCow(Device):
    """The state of SciCow, which writes the metadata of all beamlines from Kafka to SciCat.

    ON: nothing is wrong. ALARM: a beamline is behind by more than MaxLag, dead letters wait, SciCow is held, messages
    are missing, or a replica does not answer; the Status says which, and what to do. FAULT: no replica answers, or the
    property Urls names none. UNKNOWN: the replicas have not been queried yet.

    An attribute whose value is unknown has the quality INVALID, one whose value is a problem has ALARM.
    """

    # All are texts, also numbers: a wrong value must be reported, and must not prevent the start of the device.
    Urls = device_property(
        dtype=(str,),
        default_value=(),
        doc="Where SciCow's replicas show their status, each on a line: http://scicow-0.example.org:9404",
    )
    Beamline = device_property(
        dtype=str, default_value="", doc="Show this beamline only: cosaxs, for the topic scifish-cosaxs (default: all)"
    )
    Topic = device_property(
        dtype=str, default_value="", doc="Show this Kafka topic only, where it has a name of its own (default: all)"
    )
    MaxLag = device_property(
        dtype=str, default_value="300", doc="Seconds that a message may wait before it is an ALARM (default: 300)"
    )
    Period = device_property(dtype=str, default_value="5", doc="Seconds between two checks (default: 5)")
    Timeout = device_property(dtype=str, default_value="3", doc="Seconds that a replica has to answer (default: 3)")

    PUSHED = ("Lag", "LagSeconds", "DeadLetters", "Ingested", "Retried", "Missing", "Held", "Beamlines")

    # -------------------------------------------------------------- life cycle

    def init_device(self) -> None:
        super().init_device()
        self._publisher = AttributePublisher(self, self.PUSHED)
        self._wanted: SciCowProperties | None = self._read_properties()
        self._known_missing: dict[str, int] = {}
        self._missed: dict[str, int] = {}
        self._unread_since: float | None = None
        self._time = time.time()
        unknown = ReplicaTotals(None, None, 0, 0, "", (), None)
        self._show(self._wanted, unknown, Condition(remarks=["SciCow has not been asked yet."]), DevState.UNKNOWN, {})
        query = partial(self._query, self._wanted)
        self._background = PeriodicThread(f"{self.get_name()} status", query, self._wanted.period)
        self._background.start()
        self._background.wake()

    def delete_device(self) -> None:
        self._wanted = None  # a query in progress publishes nothing then
        self._background.stop()

    def _read_properties(self) -> SciCowProperties:
        given = list(dict.fromkeys(url.strip().rstrip("/") for url in self.Urls if url.strip()))
        problems = [problem for problem in map(check_url, given) if problem]
        urls = tuple(url for url in given if not check_url(url))
        if not given:
            problems.append("The property Urls is empty: write the address of SciCow's status, like http://host:9404")
        numbers = {}
        for name, (lowest, highest, default) in {
            "MaxLag": (0.1, 1e9, 300.0),
            "Period": (0.1, 3600.0, 5.0),
            "Timeout": (0.1, 60.0, 3.0),
        }.items():
            numbers[name] = _number(getattr(self, name), lowest, highest)
            if numbers[name] is None:
                problems.append(
                    f"{name} must be a number of seconds from {lowest:g} to {highest:g}; {default:g} is used"
                )
        beamline = self.Beamline.strip()
        return SciCowProperties(
            urls,
            self.Topic.strip() or (f"scifish-{beamline}" if beamline else ""),
            numbers["MaxLag"] or 300.0,
            numbers["Period"] or 5.0,
            numbers["Timeout"] or 3.0,
            tuple(problems),
        )

    # -------------------------------------------------------------------- query

    def _query(self, wanted: SciCowProperties) -> None:
        """Query all replicas, and show the result."""
        found = call_all([partial(ask, url, wanted.timeout) for url in wanted.urls], 2 * wanted.timeout + 1.0)
        replicas, silent = {}, []
        for url, answer in zip(wanted.urls, found, strict=True):
            if isinstance(answer, Replica):
                replicas[url] = answer
            elif isinstance(answer, NoStatus):
                silent.append(f"{answer}")
            else:
                silent.append(f"{url} did not answer in time: can its name be resolved?")
        sum_ = total(list(replicas.values()), wanted.topic)
        with tango.AutoTangoMonitor(self):
            if self._wanted is wanted:
                self._time = time.time()
                self._count_missing(replicas, wanted.topic)
                self._show(wanted, sum_, self._condition(wanted, sum_, silent), DevState.ON, replicas)

    def _count_missing(self, replicas: dict[str, Replica], topic: str) -> None:
        for url, replica in replicas.items():
            self._missed[url] = missing(replica, topic)
            # A restarted replica counts from 0.
            self._known_missing[url] = min(self._known_missing.get(url, 0), self._missed[url])

    def _condition(self, wanted: SciCowProperties, sum_: ReplicaTotals, silent: Sequence[str]) -> Condition:
        found = Condition(alarms=[*wanted.problems, *silent])
        if len(silent) == len(wanted.urls):
            return Condition(faults=["No replica of SciCow answers.", *found.alarms])
        if sum_.held:
            found.alarms.append(f"SciCow is held: {sum_.held}. It resumes by itself when that is solved.")
        if sum_.lag_seconds is not None and sum_.lag_seconds > wanted.max_lag:
            found.alarms.append(
                f"A message is waiting for {sum_.lag_seconds:.0f} s (MaxLag is {wanted.max_lag:g}): "
                "see SciCow's log for the reason."
            )
        if sum_.dead_letters:
            found.alarms.append(
                f"Waiting dead letters: {sum_.dead_letters}. See the reasons with `scicow dead-letters list`."
            )
        if self._new_missing():
            found.alarms.append(
                f"Missing messages: {self._new_missing()}. `scicow audit` names their datasets, "
                "and the command AcknowledgeMissing clears this alarm."
            )
        self._report_unread(found, wanted, sum_)
        found.remarks.append(f"Replicas that answer: {len(wanted.urls) - len(silent)} of {len(wanted.urls)}.")
        return found

    def _report_unread(self, found: Condition, wanted: SciCowProperties, sum_: ReplicaTotals) -> None:
        now = time.monotonic()
        self._unread_since = None if sum_.lag is not None else self._unread_since or now
        if self._unread_since is not None and now - self._unread_since > UNREAD_SECONDS:
            what = f"the topic {wanted.topic}" if wanted.topic else "any topic"
            found.alarms.append(
                f"No replica in Urls reads {what}: has that beamline sent anything yet? Check Topic and Beamline, "
                "and that all replicas are in Urls."
            )

    def _new_missing(self) -> int:
        return sum(self._missed.values()) - sum(self._known_missing.values())

    def _show(
        self,
        wanted: SciCowProperties,
        sum_: ReplicaTotals,
        condition: Condition,
        ready: DevState,
        replicas: dict[str, Replica],
    ) -> None:
        """Update what clients see. Call it with the monitor held."""
        given: dict[str, tuple[Value | None, bool]] = {
            "Lag": (sum_.lag, False),
            "LagSeconds": (sum_.lag_seconds, (sum_.lag_seconds or 0.0) > wanted.max_lag),
            "DeadLetters": (sum_.dead_letters, bool(sum_.dead_letters)),
            "Ingested": (sum_.ingested, False),
            "Retried": (sum_.retried, False),
            "Missing": (sum(self._missed.values()), self._new_missing() > 0),
            "Held": (sendable(sum_.held), bool(sum_.held)),
            "Beamlines": (tuple(map(sendable, sum_.topics[:MAX_BEAMLINES])), False),
        }
        nothing: dict[str, Value] = {"Held": "", "Beamlines": ()}
        self._values = {name: nothing.get(name, 0) if value is None else value for name, (value, _) in given.items()}
        self._qualities = {
            name: AttrQuality.ATTR_INVALID
            if value is None or not replicas
            else (AttrQuality.ATTR_ALARM if wrong else AttrQuality.ATTR_VALID)
            for name, (value, wrong) in given.items()
        }
        self._publisher.publish(condition.state(ready), condition.status(ready), self._values, self._qualities)

    # -------------------------------------------------------------- attributes

    lag = attribute(
        name="Lag", dtype="DevLong64", fget="read_Lag", doc="Messages in Kafka that SciCat does not have yet"
    )
    lag_seconds = attribute(
        name="LagSeconds",
        dtype=float,
        unit="s",
        format="%.0f",
        fget="read_LagSeconds",
        doc="Age of the oldest of these messages",
    )
    dead_letters = attribute(
        name="DeadLetters",
        dtype="DevLong64",
        fget="read_DeadLetters",
        doc="Messages of all beamlines that could not be ingested and wait to be settled",
    )
    ingested = attribute(
        name="Ingested",
        dtype="DevLong64",
        fget="read_Ingested",
        doc="Messages that SciCat has, since the replicas were started",
    )
    retried = attribute(
        name="Retried",
        dtype="DevLong64",
        fget="read_Retried",
        doc="Attempts that were repeated after a temporary failure, since the replicas were started",
    )
    missing = attribute(
        name="Missing",
        dtype="DevLong64",
        fget="read_Missing",
        doc="Messages that a program has numbered and that never arrived, since the replicas were started",
    )
    held = attribute(
        name="Held", dtype=str, fget="read_Held", doc='Why SciCow can ingest nothing at the moment, "" if it can'
    )
    beamlines = attribute(
        name="Beamlines", dtype=(str,), max_dim_x=MAX_BEAMLINES, fget="read_Beamlines", doc="The topics that are shown"
    )

    def read_Lag(self) -> Read:
        return self._read("Lag")

    def read_LagSeconds(self) -> Read:
        return self._read("LagSeconds")

    def read_DeadLetters(self) -> Read:
        return self._read("DeadLetters")

    def read_Ingested(self) -> Read:
        return self._read("Ingested")

    def read_Retried(self) -> Read:
        return self._read("Retried")

    def read_Missing(self) -> Read:
        return self._read("Missing")

    def read_Held(self) -> Read:
        return self._read("Held")

    def read_Beamlines(self) -> Read:
        return self._read("Beamlines")

    def _read(self, name: str) -> Read:
        return self._values[name], self._time, self._qualities[name]

    # ---------------------------------------------------------------- commands

    @command
    def AcknowledgeMissing(self) -> None:
        """Acknowledge the messages that are missing now: they cause no ALARM any more, until Init or a restart."""
        self._known_missing = dict(self._missed)
        self._background.wake()


def _number(text: str, lowest: float, highest: float) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) and lowest <= found <= highest else None


def main() -> None:
    run((SciCow,))


if __name__ == "__main__":
    main()
