"""The Tango device that describes a beamline: what is recorded, and where it is sent.

Everything is kept in its device properties, so that jive, the attributes and the macros are
three views of the same thing, and recording goes on while this server is stopped.

Commands that take their time, and all that ask the database, let go of the device's monitor:
other clients are answered meanwhile. Nobody waits for another lock while holding the monitor.
"""

from __future__ import annotations

import functools
import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar, cast

import tango
from tango import AttrWriteType, DevState
from tango.server import Device, attribute, command, device_property, run

from scifish.attributes.reader import Reader
from scifish.configurations import check, table_file
from scifish.configurations.editor import EditError, Editor, Found, UnknownChange, config_in, revision_of
from scifish.configurations.history import Change, History, history_file
from scifish.configurations.table_file import TableError
from scifish.settings import (
    CONFIG_PREFIX,
    PROPERTIES,
    Settings,
    load_last_good,
    save_last_good,
    settings_from_properties,
)
from scifish.settings import entries as config
from scifish.settings.entries import Entry
from scifish.settings.fallback import with_last_good
from scifish.tango_io.database import TangoDatabase, reason, text
from scifish.tango_io.executors import Crew
from tango_servers.common.arguments import (
    WrongArgument,
    caller,
    json_object,
    lines_in,
    table_in,
    text_arguments,
    text_in,
)
from tango_servers.common.background import ExclusiveCaller, PeriodicThread, call_with_timeout
from tango_servers.common.replies import AttributePublisher, raising_devfailed, sendable

LOOK = 3.0
"""Seconds between looks at the properties: nothing tells a device that jive has changed one."""

LONGEST_LIST = 1000

REMEMBER = 180.0
"""Seconds for which a program's trouble is shown: it repeats each minute what lasts."""

DATABASE = 2.0
"""Seconds that the Tango database has. Tango itself waits for more than a minute, whatever its time-out is."""

CONFIG_AGE = 10.0
"""Seconds after which units and labels are asked for again: who validates has perhaps just put one right."""

LISTED = 200
"""Changes of the history that a client is given at once."""

SNAPSHOT = dict.fromkeys(("uuid", "name", "time", "program", "host"), str) | {
    "values": int,
    "failedCount": int,
    "failed": list,
}
"""What a program says of what it has read for a dataset."""

FORMATS = {"yaml": "", "csv": ",", "csv;": ";", "tsv": "\t"}
"""Of an export, with what stands between its cells."""

CONTENT = (
    "a configuration's name; empty: what is recorded now; or a JSON object with lines or entries, as for SaveConfig"
)

T = TypeVar("T")
_Method = TypeVar("_Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class Shown:
    """What the properties say, as clients see it; `used` has the last good ones in place of what is wrong."""

    properties: dict[str, list[str]]
    settings: Settings
    used: Settings
    entries: tuple[Entry, ...]
    json: str
    revision: str
    problems: tuple[str, ...]


def aside(method: _Method) -> _Method:
    """A command or a write without the device's monitor; what it refuses reaches the client with its reason."""

    @functools.wraps(method)
    def call(self: SciDog, *arguments: Any) -> Any:
        with (
            raising_devfailed("SciDog", EditError, TableError, WrongArgument, WrongReport, NoAnswer),
            tango.AutoTangoAllowThreads(self),
        ):
            return method(self, *arguments)

    return cast(_Method, call)


class SciDog(Device):
    """What is recorded at a beamline, and where it is sent.

    Configurations are device properties `Config.<name>`, one entry a line:
    - {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, unit: mA, group: Machine}

    ON: all is well. ALARM: a property has a mistake; the Status says which line, and why.
    What is right in it is recorded all the same. Also ALARM: a program that records says that
    its metadata waits for Kafka, or that its disk is nearly full.

    Texts that are JSON have all characters but ASCII escaped. What is given may be JSON of that
    kind, Latin-1 (as PyTango sends) or UTF-8 (as jive does under a UTF-8 locale).
    """

    # All are text here, also numbers: a wrong one must be reported, and not keep the device from starting.
    Beamline = device_property(dtype=str, default_value="", doc="Short name of the beamline: cosaxs")
    ActiveConfig = device_property(
        dtype=str, default_value="", doc="The configuration in use: the <name> of a property Config.<name>"
    )
    AlwaysConfigs = device_property(
        dtype=(str,),
        default_value=("beamline",),
        doc="Configurations that are recorded beside the active one, one a line (default: beamline)",
    )
    PathFixer = device_property(
        dtype=str, default_value="", doc="Device that knows the proposal, the sample and the path: b311a/ctl/sdm-01"
    )
    KafkaBootstrapServers = device_property(
        dtype=str, default_value="", doc="Brokers that the metadata is sent to: host:port, with commas between several"
    )
    Topic = device_property(dtype=str, default_value="", doc="Kafka topic (default: scifish-<beamline>)")
    KafkaConfigFile = device_property(
        dtype=str,
        default_value="",
        doc="File with librdkafka settings that are secret (SASL, TLS); refused if others can read it",
    )
    SpoolDirectory = device_property(
        dtype=str,
        default_value="",
        doc="Where messages are kept until Kafka has them (default: /var/lib/scifish, else in the user's state folder)",
    )
    SpoolLimit = device_property(
        dtype=str,
        default_value="2000",
        doc="Megabytes that may wait on the disk of each program that records (default: 2000)",
    )
    SnapshotTimeout = device_property(
        dtype=str, default_value="3", doc="Seconds after which an attribute is given up (default: 3)"
    )
    MaxArraySize = device_property(
        dtype=str, default_value="64", doc="Longer arrays are summarised: shape, min, max, mean (default: 64)"
    )
    SendProprietary = device_property(
        dtype=str, default_value="false", doc="Whether metadata of proprietary proposals is sent (default: false)"
    )

    PUSHED = (
        *("Beamline", "Configs", "ActiveConfig", "Entries", "Problems"),
        *("Revision", "LastSnapshot", "KafkaBootstrapServers", "Topic"),
    )

    # -------------------------------------------------------------------- life

    def init_device(self) -> None:
        super().init_device()
        self._publisher = AttributePublisher(self, self.PUSHED)
        history = history_file(self.get_name(), _tango_host())
        self._good_file = history.with_suffix(".good.json")
        self._good = load_last_good(self._good_file)
        self._unkept = ""
        self._shown = self._view({})
        self._viewed = (0, self._shown)
        self._viewing = threading.Lock()
        self._trouble = ""
        self._troubles: dict[str, tuple[float, str]] = {}
        self._last_snapshot = ""
        self._looks = self._taken = 0
        self._connected: tuple[TangoDatabase, Editor] | None = None
        self._history = History(history)
        self._reader = Reader(config_age=CONFIG_AGE)
        self._crew = Crew("scidog-ask")
        self._database = ExclusiveCaller(self._crew)
        self._look()
        self._background = PeriodicThread(f"{self.get_name()} properties", self._look, LOOK)
        self._background.start()

    def delete_device(self) -> None:
        self._background.stop()
        self._crew.stop()
        self._reader.close()

    def _look(self) -> None:
        """See what the properties are now, and show it."""
        number, shown, missing, trouble = self._looks, None, "", ""
        try:
            number, properties, missing = self._database.call(DATABASE, self._read)
            shown = self._seen(number, properties)
        except (tango.DevFailed, TimeoutError) as error:
            why = reason(error) if isinstance(error, tango.DevFailed) else f"no answer within {DATABASE:g} s"
            trouble = f"the Tango database does not answer; what it said last is in use ({why})"
        trouble = "\n".join(filter(None, (trouble, missing, self._history.trouble, self._unkept)))
        with tango.AutoTangoMonitor(self):
            if number >= self._taken:  # else another look was later, and has newer ones
                self._taken, self._shown, self._trouble = number, shown or self._shown, trouble
                self._announce()

    def _read(self) -> tuple[int, dict[str, list[str]], str]:
        """Which look this is, the properties, and what is wrong with PathFixer. One at a time."""
        properties = self._edit.look()
        self._looks += 1
        name = settings_from_properties(self.get_name(), properties).path_fixer
        # Of a wrong form is said with the properties; of another Tango system this database knows nothing.
        if name.count("/") != 2 or self._db.has_device(name):
            return self._looks, properties, ""
        return self._looks, properties, f"PathFixer: the Tango database has no device {name}"

    def _seen(self, number: int, properties: dict[str, list[str]]) -> Shown:
        """What this look has found, or a later one: each has the last good ones of the one before it."""
        with self._viewing:
            later, shown = self._viewed
            if number > later:
                if properties != shown.properties:  # it need not be worked out again each time
                    shown = self._view(properties)
                self._viewed = number, shown
                if shown.used != self._good or self._unkept:
                    self._keep(shown.used)
            return shown

    def _view(self, properties: dict[str, list[str]]) -> Shown:
        settings = settings_from_properties(self.get_name(), properties)
        used = with_last_good(settings, self._good)
        entries, mistakes = used.entries()
        # Escaped, since Tango's strings are Latin-1 and names may be anything.
        as_json = json.dumps(json.loads(config.entries_as_json(entries)))
        revision = hashlib.sha256(as_json.encode()).hexdigest()[:12]
        problems = tuple(sendable(problem) for problem in (*used.problems, *mistakes))
        return Shown(properties, settings, used, tuple(entries), as_json, revision, problems)

    def _keep(self, used: Settings) -> None:
        """For the next look, and for a restart while something is wrong."""
        self._good = used
        try:
            save_last_good(used, self._good_file)
            self._unkept = ""
        except OSError as error:
            self._unkept = f"the last good settings cannot be kept in {self._good_file}: {error}"

    def _change(self, call: Callable[[], T]) -> T:
        """Do an edit, and show what there is then."""
        try:
            found = self._database.call(check.ANSWER, call)
        except TimeoutError as error:
            raise NoAnswer(
                "the Tango database does not answer: whether it takes the change is not known yet; History will say it"
            ) from error
        self._look()
        return found

    def _announce(self) -> None:
        """Tell clients what is new. With the monitor held."""
        now = time.monotonic()
        self._troubles = {run: said for run, said in self._troubles.items() if now - said[0] < REMEMBER}
        self._problems = [
            *(sendable(line) for line in self._trouble.splitlines()),
            *self._shown.problems,
            *sorted(said for _, said in self._troubles.values()),
        ]
        # What clients show as the value that was last written.
        self.get_device_attr().get_w_attr_by_name("ActiveConfig").set_write_value(self.read_ActiveConfig())
        state = DevState.ALARM if self._problems else DevState.ON
        lines = [f"The device is in {state} state.", *self._problems]
        used = self._shown.used
        there = {name.lower() for name in used.configs}
        active = used.active_config or "none"
        always = ", ".join(name for name in used.always_configs if name.lower() in there) or "none"
        count = len(self._shown.entries)
        lines.append(f"{count} attributes are recorded. Active configuration: {active}; always: {always}")
        values = {name: getattr(self, f"read_{name}")() for name in self.PUSHED}
        self._publisher.publish(state, "\n".join(lines), values)

    @property
    def _db(self) -> TangoDatabase:
        return self._connection()[0]

    @property
    def _edit(self) -> Editor:
        return self._connection()[1]

    def _connection(self) -> tuple[TangoDatabase, Editor]:
        """Made when the database answers for the first time, and made again by Tango itself after it was away."""
        if self._connected is None:
            db = TangoDatabase()
            self._connected = db, Editor(db, self.get_name(), self._history, lambda: self._good)
        return self._connected

    # -------------------------------------------------------------- attributes
    # Each has the name of the property that it shows; as members of a class the two need names of their own.

    beamline = attribute(name="Beamline", dtype=str, fget="read_Beamline", doc="Short name of the beamline")
    configs = attribute(
        name="Configs", dtype=(str,), max_dim_x=LONGEST_LIST, fget="read_Configs", doc="Names of the configurations"
    )
    active_config = attribute(
        name="ActiveConfig",
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        fget="read_ActiveConfig",
        fset="write_ActiveConfig",
        doc='The configuration in use, "" for none: the property ActiveConfig; where that is wrong, the last good one',
    )
    entries = attribute(
        name="Entries",
        dtype=str,
        fget="read_Entries",
        doc="What is recorded now: a JSON list of {name, source, group, unit, map, record, config}",
    )
    problems = attribute(
        name="Problems",
        dtype=(str,),
        max_dim_x=LONGEST_LIST,
        fget="read_Problems",
        doc="What is wrong in the properties, with the line and why, and in the programs that record",
    )
    revision = attribute(name="Revision", dtype=str, fget="read_Revision", doc="Changes whenever Entries does")
    last_snapshot = attribute(
        name="LastSnapshot",
        dtype=str,
        fget="read_LastSnapshot",
        doc="What was read last: JSON of {from, time, values, failedCount, failed, ...}; from is dataset (with uuid, "
        'name, program, host) or preview (with seconds, devices); "" before the first since the start',
    )
    kafka_bootstrap_servers = attribute(
        name="KafkaBootstrapServers", dtype=str, fget="read_KafkaBootstrapServers", doc="Brokers that are written to"
    )
    topic = attribute(name="Topic", dtype=str, fget="read_Topic", doc="Kafka topic that is written to")

    def read_Beamline(self) -> str:
        return self._shown.settings.beamline

    def read_Configs(self) -> list[str]:
        return [sendable(name) for name in sorted(self._shown.settings.configs)][:LONGEST_LIST]

    def read_ActiveConfig(self) -> str:
        return sendable(self._shown.used.active_config)

    @aside
    def write_ActiveConfig(self, name: str) -> None:
        self._look()  # somebody may just have added the configuration in jive
        wanted, who = self._meant(name), caller(self)
        self._change(lambda: self._edit.activate(wanted, who))

    def read_Entries(self) -> str:
        return self._shown.json

    def read_Problems(self) -> list[str]:
        return self._problems[:LONGEST_LIST]

    def read_Revision(self) -> str:
        return self._shown.revision

    def read_LastSnapshot(self) -> str:
        return self._last_snapshot

    def read_KafkaBootstrapServers(self) -> str:
        return sendable(self._shown.settings.kafka_bootstrap_servers)

    def read_Topic(self) -> str:
        return sendable(self._shown.settings.topic)

    # --------------------------------------------------------- commands: state

    @command
    @aside
    def Reload(self) -> None:
        """Read the properties now, and not within a few seconds."""
        self._look()

    @command(dtype_out=str, doc_out="JSON of the settings, with the lines of each configuration")
    @aside
    def InUse(self) -> str:
        """The settings in use: the last good ones where a property is wrong. For programs that have not seen them."""
        return json.dumps(asdict(self._shown.used))

    @command(
        dtype_in=(str,),
        doc_in="Run, program and host, and what is wrong there; an empty text: all is well again",
    )
    @aside
    def ReportTrouble(self, texts: list[str]) -> None:
        """A program that records says that its metadata waits, or that its disk is nearly full. Shown in Problems."""
        if len(texts) != 3:
            raise WrongReport(f"three texts are needed (run, program and host, trouble), and not {len(texts)}")
        run, who, trouble = texts
        with tango.AutoTangoMonitor(self):
            if trouble:
                self._troubles[run] = (time.monotonic(), sendable(f"{who}: {trouble}"))
            else:
                self._troubles.pop(run, None)
            self._announce()

    @command(
        doc_in="JSON of {uuid, name, time, program, host, values, failedCount, failed}: the dataset, how many values "
        "were to be read for it, how many of them could not be, and a list of {group, name, source, error} of these",
    )
    @aside
    def ReportSnapshot(self, report: str) -> None:
        """A program that records says what it has read for a dataset. Shown in LastSnapshot."""
        given = json_object(report, tuple(SNAPSHOT))
        for name, kind in SNAPSHOT.items():
            if not isinstance(given.get(name), kind):
                raise WrongReport(f"{name} is missing, or of another type than {kind.__name__}")
        with tango.AutoTangoMonitor(self):
            self._last_snapshot = json.dumps({"from": "dataset", **given})
            self._announce()

    # ------------------------------------------------- commands: configurations

    @command(
        doc_in="Name of a configuration",
        doc_out="JSON of {name, revision, lines, entries, problems}: the lines as in the property, and what they say",
    )
    @aside
    def GetConfig(self, name: str) -> str:
        """A configuration as it is in the database at this moment, with the revision that SaveConfig wants."""
        self._look()
        settings = self._shown.settings
        return _described(config_in(settings, _meant(name, settings)))

    @command(
        doc_in="JSON of {name, revision, lines or entries, who}: revision is what GetConfig said of what was changed, "
        '"" for a new configuration; lines as in the property, or entries as objects {name, source, group, unit, map, '
        "record}; who is optional, a name for the history",
        doc_out="The configuration as it is now: JSON as of GetConfig",
    )
    @aside
    def SaveConfig(self, request: str) -> str:
        """Write a configuration, unless somebody else has changed it since it was read, or it has mistakes."""
        wanted = json_object(request, ("name", "revision", "lines", "entries", "who"))
        return self._save(wanted, lines_in(wanted), "saved")

    @command(
        doc_in="JSON of {name, revision, text or base64, who}: as for SaveConfig, but the content is a file's text, or "
        "its bytes in base64: YAML as in the property, or CSV with the columns name, source, group, unit, map, record",
        doc_out="The configuration as it is now: JSON as of GetConfig",
    )
    @aside
    def ImportConfig(self, request: str) -> str:
        """Write a configuration out of a file; nothing is written if a line of it is wrong."""
        wanted = json_object(request, ("name", "revision", "text", "base64", "who"))
        return self._save(wanted, table_in(wanted), "imported")

    @command(
        dtype_in=(str,),
        doc_in="Name of a configuration, and the format: yaml (default), csv, csv; (with semicolons), or tsv",
        doc_out="JSON of {name, format, text}: what is to be the file's text",
    )
    @aside
    def ExportConfig(self, texts: list[str]) -> str:
        """A configuration as a file: YAML with all its comments, or a table for a spreadsheet."""
        name, wanted = text_arguments(texts, 1, 2, "a configuration's name and perhaps a format")
        wanted = wanted.lower() or "yaml"
        if wanted not in FORMATS:
            raise WrongArgument(f"{wanted!r} is no format; there are {', '.join(FORMATS)}")
        self._look()
        settings = self._shown.settings
        found = config_in(settings, _meant(name, settings))
        separator = FORMATS[wanted]
        content = table_file.csv_from_lines(found.lines, separator) if separator else "\n".join((*found.lines, ""))
        return json.dumps({"name": found.name, "format": wanted, "text": content})

    @command(
        dtype_in=(str,),
        doc_in="Name of a configuration, and perhaps its revision: then it is deleted only if nobody has changed it",
    )
    @aside
    def DeleteConfig(self, texts: list[str]) -> None:
        """Delete a configuration that is not in use. The history keeps it."""
        name, revision = text_arguments(texts, 1, 2, "a configuration's name and perhaps its revision")
        self._look()
        wanted, who = self._meant(name), caller(self)
        self._change(lambda: self._edit.delete(wanted, who, revision))

    @command(dtype_in=(str,), doc_in="Name of a configuration, and that of its copy", doc_out="JSON as of GetConfig")
    @aside
    def CopyConfig(self, texts: list[str]) -> str:
        """Write a configuration once more, under a name that is not taken."""
        return self._named_anew(texts, lambda name, new, who: self._edit.copy(name, new, who))

    @command(dtype_in=(str,), doc_in="Name of a configuration, and the new name", doc_out="JSON as of GetConfig")
    @aside
    def RenameConfig(self, texts: list[str]) -> str:
        """Give a configuration another name, also where ActiveConfig and AlwaysConfigs name it."""
        return self._named_anew(texts, lambda name, new, who: self._edit.rename(name, new, who))

    # ------------------------------------------------------- commands: history

    @command(
        doc_in="Name of a configuration, or of a property as the documentation writes it (Beamline is the property, "
        "beamline and Config.beamline the configuration); empty: all; or # and a number: that change with its lines",
        doc_out="JSON list, newest first, of {number, time, who, what, property, revision, lines, added, removed}; "
        "of one change: {number, time, who, what, property, revision, lines, before}",
    )
    @aside
    def History(self, name: str) -> str:
        """Who changed what, and when. A change of jive's is one of `the database`."""
        self._look()
        wanted = text(name).strip()
        if wanted.startswith("#"):
            number = wanted[1:]
            change = self._history.change(int(number)) if number.isdecimal() and len(number) < 20 else None
            if change is None:
                raise UnknownChange(f"the history has no change {wanted}")
            before = self._history.before(change)
            return json.dumps({**_told(change), "lines": change.lines, "before": before.lines if before else None})
        changes = self._history.of(self._properties_meant(wanted)) if wanted else self._history.changes[::-1]
        return json.dumps([_counted(change, self._history.before(change)) for change in changes[:LISTED]])

    @command(dtype_in=int, doc_in="Number of a change, as History has it", doc_out="JSON of that change, as of History")
    @aside
    def Restore(self, number: int) -> str:
        """Make a property what it was after that change. What it is now stays in the history."""
        who = caller(self)
        change = self._change(lambda: self._edit.restore(int(number), who))
        return json.dumps({**_told(change), "lines": change.lines})

    # ------------------------------------------------ commands: the live system

    @command(
        doc_in=CONTENT,
        doc_out="JSON of {ok, time, seconds, entries, findings, devices}: each finding is {level, text, config, group, "
        "name, source}, its level error, warning or note; devices has the seconds of each, null without an answer",
    )
    @aside
    def Validate(self, which: str) -> str:
        """Check lines, and all devices and attributes in them. What has not answered after 2.5 s is said to be so."""
        until = time.monotonic() + check.ANSWER
        _, entries, problems = self._content(which)
        findings = [check.Finding(check.ERROR, problem) for problem in problems]
        reads = check.read(entries, self._reader, until - time.monotonic())
        findings += check.check(reads, functools.partial(self._is_defined, until))
        return json.dumps(check.report(findings, reads))

    @command(
        doc_in=CONTENT,
        doc_out="JSON of {time, seconds, values, failed, devices, scientificMetadata, problems}: failed is a list of "
        "{group, name, source, error}; devices has the seconds that each took, null without an answer",
    )
    @aside
    def Preview(self, which: str) -> str:
        """Take a snapshot now, and show it. After 2.5 s, or SnapshotTimeout if that is shorter, it is what there is."""
        until = time.monotonic() + check.ANSWER
        settings, entries, problems = self._content(which)
        reads = check.read(entries, self._reader, min(until - time.monotonic(), settings.snapshot_timeout))
        found = check.preview(reads, settings.max_array_size)
        with tango.AutoTangoMonitor(self):
            self._last_snapshot = json.dumps(check.summary(found))
            self._announce()
        return json.dumps({**found, "problems": problems})

    @command(
        doc_in="Part of a name, or a pattern with *; empty: all",
        dtype_out=(str,),
        doc_out="Names of devices in the Tango database",
    )
    @aside
    def BrowseDevices(self, pattern: str) -> list[str]:
        """Devices, for one who chooses among them."""
        wanted = text(pattern).strip() or "*"
        wanted = wanted if "*" in wanted else f"*{wanted}*"
        try:
            return list(map(sendable, self._database.call(check.ANSWER, lambda: self._db.device_names(wanted))))
        except TimeoutError as error:
            raise NoAnswer("the Tango database does not answer") from error

    @command(
        doc_in="Name of a device",
        doc_out="JSON list of {name, label, unit, description, type, format, writable, labels}",
    )
    @aside
    def BrowseAttributes(self, device: str) -> str:
        """A device's attributes, for one who chooses among them. Fails if it has not answered after 2.5 s."""
        name = text(device).strip()
        try:
            return json.dumps(call_with_timeout(self._crew, check.ANSWER, lambda: check.attributes(name)))
        except TimeoutError as error:
            raise NoAnswer(f"{name} has not answered within {check.ANSWER:g} s") from error
        except tango.DevFailed as failed:
            raise NoAnswer(f"{name}: {reason(failed)}") from failed

    # ------------------------------------------------------------------ helpers

    def _meant(self, given: str) -> str:
        return _meant(given, self._shown.settings)

    def _properties_meant(self, wanted: str) -> list[str]:
        """The property that a name may be, and the configuration, which is another one; first what it rather means."""
        prefixed = wanted.lower().startswith(CONFIG_PREFIX.lower())
        name = wanted[len(CONFIG_PREFIX) :] if prefixed else wanted
        configs = [CONFIG_PREFIX + name, CONFIG_PREFIX + self._meant(name)]
        if prefixed:
            return configs
        return [wanted, *configs] if wanted in PROPERTIES else [*configs, wanted]

    def _save(self, wanted: dict[str, Any], lines: Sequence[str], what: str) -> str:
        name, revision = self._meant(text_in(wanted, "name")), text_in(wanted, "revision")
        who = caller(self, text_in(wanted, "who", ""))
        found = self._change(lambda: self._edit.save(name, lines, revision, who, what))
        return _described(found)

    def _named_anew(self, texts: list[str], call: Callable[[str, str, str], Found]) -> str:
        name, new = text_arguments(texts, 2, 2, "a configuration's name and the new one")
        self._look()
        wanted, who = self._meant(name), caller(self)
        found = self._change(lambda: call(wanted, new, who))
        return _described(found)

    def _content(self, which: str) -> tuple[Settings, list[Entry], list[str]]:
        """The entries that are meant, the mistakes in their lines, and the settings of the same moment."""
        self._look()
        shown = self._shown
        settings, used = shown.settings, shown.used
        if not text(which).strip():
            entries, problems = used.entries()
            return settings, entries, [*used.problems, *problems]
        if which.lstrip().startswith("{"):
            wanted = json_object(which, ("name", "lines", "entries"))
            name, lines = text_in(wanted, "name", ""), lines_in(wanted)
        else:
            found = config_in(settings, _meant(which, settings))
            name, lines = found.name, list(found.lines)
        return settings, *config.parse(lines, name)

    def _is_defined(self, until: float, device: str) -> bool:
        """Whether the database has it; taken for granted where there is no time left to ask, or no answer."""
        try:
            return self._database.call(until - time.monotonic(), lambda: self._db.has_device(device))
        except (tango.DevFailed, TimeoutError):
            return True


class WrongReport(Exception):
    """A report of a program is not of the form that is needed."""


class NoAnswer(Exception):
    """A device does not answer, or not in time."""


def _meant(given: str, settings: Settings) -> str:
    """A configuration's name: as the attribute Configs shows it, or as the client's characters go."""
    name = text(given).strip()
    shown = {sendable(known).lower(): known for known in settings.configs}
    return shown.get(name.lower(), name)


def _described(found: Found) -> str:
    entries, problems = config.parse(found.lines, found.name)
    return json.dumps(
        {
            "name": found.name,
            "revision": found.revision,
            "lines": found.lines,
            "entries": json.loads(config.entries_as_json(entries)),
            "problems": problems,
        }
    )


def _told(change: Change) -> dict[str, Any]:
    return {
        "number": change.number,
        "time": change.time,
        "who": change.who,
        "what": change.what,
        "property": change.property,
        "revision": revision_of(change.lines) if change.lines is not None else "",
    }


def _counted(change: Change, before: Change | None) -> dict[str, Any]:
    now, old = set(change.lines or ()), set(before.lines or ()) if before else set()
    return {**_told(change), "lines": len(change.lines or ()), "added": len(now - old), "removed": len(old - now)}


def _tango_host() -> str:
    db = tango.Util.instance().get_database()
    return f"{db.get_db_host()}:{db.get_db_port()}"


def main() -> None:
    run((SciDog,))


if __name__ == "__main__":
    main()
