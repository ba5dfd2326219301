"""The Tango device that describes a beamline: what is recorded, and where it is sent.

Everything is stored in its device properties, so that jive, the attributes and the macros show
the same, and recording goes on while this server is stopped.

Commands that may take long, and all that ask the database, release the device's monitor:
other clients are answered meanwhile. No thread waits for another lock while it holds the monitor.
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
from scifish.configurations.editor import EditError, Editor, StoredConfiguration, UnknownChange, config_in, revision_of
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
from scifish.settings.entries import Entry, entries_as_json, parse_new_entries
from scifish.settings.fallback import with_last_good
from scifish.tango_io.database import TangoDatabase, reason, text
from scifish.tango_io.executors import ThreadPool
from scifish.tango_io.property_limits import MAX_NAME_CHARACTERS
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
from tango_servers.common.replies import MAX_LIST_LENGTH, AttributePublisher, raising_devfailed, sendable

PROPERTY_CHECK_SECONDS = 3.0
"""Time between checks of the properties: Tango does not notify a device of changes in jive."""

TROUBLE_SECONDS = 180.0
"""How long a program's trouble is shown. The program repeats its report every minute while it lasts."""

DATABASE_ANSWER_SECONDS = 2.0
"""Within which the Tango database must answer. Tango itself waits more than a minute, whatever its time-out is."""

MAX_LISTED_CHANGES = 200
"""Changes that one call of History returns."""

MAX_TROUBLES = 100
"""Programs whose trouble is shown. The oldest report gives way."""

MAX_TROUBLE_CHARACTERS = 1_000

MAX_READING_THREADS = 64
"""Threads for Validate and Preview: as many devices may hang at the same time."""

MAX_CHECKED_ENTRIES = 5_000
"""Entries that Validate and Preview read at a time."""

MAX_BROWSED = 16
"""Devices that BrowseAttributes asks at the same time, also those that hang."""

SNAPSHOT_REPORT_FIELDS = dict.fromkeys(("uuid", "name", "time", "program", "host"), str) | {
    "values": int,
    "failedCount": int,
    "failed": list,
}
"""The fields of a program's report on what it has read for a dataset."""

EXPORT_SEPARATORS = {"yaml": "", "csv": ",", "csv;": ";", "tsv": "\t"}
"""By format of an export: the separator of its cells."""

CONTENT_DOC = (
    "a configuration's name; empty for what is recorded now; or a JSON object with lines or entries, as for SaveConfig"
)

T = TypeVar("T")
_Method = TypeVar("_Method", bound=Callable[..., Any])


@dataclass(frozen=True)
class PropertiesView:
    """The properties as clients see them. `used` has the last good values in place of wrong ones."""

    properties: dict[str, list[str]]
    settings: Settings
    used: Settings
    entries: tuple[Entry, ...]
    json: str
    revision: str
    problems: tuple[str, ...]


def without_monitor(method: _Method) -> _Method:
    """Run a command or a write without the device's monitor. Its errors become DevFailed with their reason."""

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

    Configurations are device properties `Config.<name>`, one entry per line:
    - {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, unit: mA, group: Machine}

    ON: all is well. ALARM: a property has a mistake; the Status says in which line, and why.
    What is correct in it is still recorded. Also ALARM: a program that records reports that
    its metadata waits for Kafka, or that its disk is nearly full.

    In JSON texts, all characters except ASCII are escaped. Arguments may be such JSON, Latin-1
    (as PyTango sends) or UTF-8 (as jive sends with a UTF-8 locale).
    """

    # All are texts, also numbers: a wrong value must be reported, and must not prevent the start of the device.
    Beamline = device_property(dtype=str, default_value="", doc="Short name of the beamline: cosaxs")
    ActiveConfig = device_property(
        dtype=str, default_value="", doc="The configuration in use: the <name> of a property Config.<name>"
    )
    AlwaysConfigs = device_property(
        dtype=(str,),
        default_value=("beamline",),
        doc="Configurations that are recorded in addition to the active one, one per line (default: beamline)",
    )
    PathFixer = device_property(
        dtype=str, default_value="", doc="Device that knows the proposal, the sample and the path: b311a/ctl/sdm-01"
    )
    KafkaBootstrapServers = device_property(
        dtype=str, default_value="", doc="Brokers that the metadata is sent to: host:port, separated by commas"
    )
    Topic = device_property(dtype=str, default_value="", doc="Kafka topic (default: scifish-<beamline>)")
    KafkaConfigFile = device_property(
        dtype=str,
        default_value="",
        doc="File with secret librdkafka settings (SASL, TLS); refused if other accounts can read it",
    )
    SpoolDirectory = device_property(
        dtype=str,
        default_value="",
        doc="Where messages wait until Kafka has them (default: /var/lib/scifish, else in the user's state folder)",
    )
    SpoolLimit = device_property(
        dtype=str,
        default_value="2000",
        doc="Megabytes that may wait on disk for each program that records (default: 2000)",
    )
    KeepSentDays = device_property(
        dtype=str,
        default_value="7",
        doc="Days that sent messages are kept on disk, so that `scifish resend --since` can send them again (7)",
    )
    SnapshotTimeout = device_property(
        dtype=str, default_value="3", doc="Seconds within which an attribute must be read (default: 3)"
    )
    MaxArraySize = device_property(
        dtype=str, default_value="64", doc="Longer arrays are summarised: shape, min, max, mean (default: 64)"
    )
    SendProprietary = device_property(
        dtype=str, default_value="false", doc="Whether metadata of proprietary proposals is sent (default: false)"
    )
    SendWithoutProposal = device_property(
        dtype=str,
        default_value="false",
        doc="Whether a dataset is sent whose proposal is not known, as PathFixer does not answer (default: false)",
    )
    RememberProposalDays = device_property(
        dtype=str,
        default_value="7",
        doc="Days for which PathFixer's last answer is used while it does not answer (default: 7)",
    )

    PUSHED = (
        *("Beamline", "Configs", "ActiveConfig", "Entries", "Problems"),
        *("Revision", "LastSnapshot", "KafkaBootstrapServers", "Topic"),
    )

    # -------------------------------------------------------------- life cycle

    def init_device(self) -> None:
        super().init_device()
        self._publisher = AttributePublisher(self, self.PUSHED)
        history = history_file(self.get_name(), _tango_host())
        self._last_good_file = history.with_suffix(".good.json")
        self._last_good = load_last_good(self._last_good_file)
        self._unsaved = ""
        self._view = self._make_view({})
        self._latest = (0, self._view)
        self._view_lock = threading.Lock()
        self._trouble = ""
        self._troubles: dict[str, tuple[float, str]] = {}
        self._last_snapshot = ""
        self._reads = self._shown_read = 0
        self._connected: tuple[TangoDatabase, Editor] | None = None
        self._history = History(history)
        self._reader = Reader(MAX_READING_THREADS)
        self._pool = ThreadPool("scidog-ask")
        self._browsing = ThreadPool("scidog-browse", MAX_BROWSED)  # apart: those that hang must stop nothing else
        self._database = ExclusiveCaller(self._pool)
        self._refresh()
        self._background = PeriodicThread(f"{self.get_name()} properties", self._refresh, PROPERTY_CHECK_SECONDS)
        self._background.start()

    def delete_device(self) -> None:
        self._background.stop()
        self._pool.stop()
        self._browsing.stop()
        self._reader.close()

    def _refresh(self) -> None:
        """Read the properties now, and show them."""
        number, view, missing, trouble = self._reads, None, "", ""
        try:
            number, properties, missing = self._database.call(DATABASE_ANSWER_SECONDS, self._read_properties)
            view = self._view_of(number, properties)
        except (tango.DevFailed, TimeoutError) as error:
            why = (
                reason(error)
                if isinstance(error, tango.DevFailed)
                else f"no answer within {DATABASE_ANSWER_SECONDS:g} s"
            )
            trouble = f"the Tango database does not answer; its last answer is in use ({why})"
        trouble = "\n".join(filter(None, (trouble, missing, self._history.trouble, self._unsaved)))
        with tango.AutoTangoMonitor(self):
            if number >= self._shown_read:  # otherwise a later read has newer properties
                self._shown_read, self._view, self._trouble = number, view or self._view, trouble
                self._publish()

    def _read_properties(self) -> tuple[int, dict[str, list[str]], str]:
        """The number of this read, the properties, and what is wrong with PathFixer. Not called in parallel."""
        properties = self._edit.look()
        self._reads += 1
        name = settings_from_properties(self.get_name(), properties).path_fixer
        # A name of a wrong form is reported elsewhere; this database does not know devices of another Tango system.
        if name.count("/") != 2 or self._db.has_device(name):
            return self._reads, properties, ""
        return self._reads, properties, f"PathFixer: the Tango database has no device {name}"

    def _view_of(self, number: int, properties: dict[str, list[str]]) -> PropertiesView:
        """The view of this read, or of a later one. Each uses the last good settings of the view before."""
        with self._view_lock:
            later, view = self._latest
            if number > later:
                if properties != view.properties:  # otherwise the view is still valid
                    view = self._make_view(properties)
                self._latest = number, view
                if view.used != self._last_good or self._unsaved:
                    self._save_last_good(view.used)
            return view

    def _make_view(self, properties: dict[str, list[str]]) -> PropertiesView:
        settings = settings_from_properties(self.get_name(), properties)
        used = with_last_good(settings, self._last_good)
        entries, mistakes = used.entries()
        # Escaped, because Tango's strings are Latin-1 and names may have any letters.
        as_json = json.dumps(json.loads(entries_as_json(entries)))
        revision = hashlib.sha256(as_json.encode()).hexdigest()[:12]
        problems = tuple(sendable(problem) for problem in (*used.problems, *mistakes))
        return PropertiesView(properties, settings, used, tuple(entries), as_json, revision, problems)

    def _save_last_good(self, used: Settings) -> None:
        """For the next read, and for a restart while something is wrong."""
        self._last_good = used
        try:
            save_last_good(used, self._last_good_file)
            self._unsaved = ""
        except OSError as error:
            self._unsaved = f"the last good settings cannot be stored in {self._last_good_file}: {error}"

    def _change(self, call: Callable[[], T]) -> T:
        """Make an edit, and show the result."""
        try:
            found = self._database.call(check.CHECK_REPLY_SECONDS, call)
        except TimeoutError as error:
            raise NoAnswer(
                "the Tango database does not answer, so it is not known yet whether it accepts the change; "
                "History will show it"
            ) from error
        self._refresh()
        return found

    def _publish(self) -> None:
        """Update what clients see, and push change events. Call it with the monitor held."""
        now = time.monotonic()
        self._troubles = {run: report for run, report in self._troubles.items() if now - report[0] < TROUBLE_SECONDS}
        self._problems = [
            *(sendable(line) for line in self._trouble.splitlines()),
            *self._view.problems,
            *sorted(text for _, text in self._troubles.values()),
        ]
        # What clients show as the last written value.
        self.get_device_attr().get_w_attr_by_name("ActiveConfig").set_write_value(self.read_ActiveConfig())
        state = DevState.ALARM if self._problems else DevState.ON
        lines = [f"The device is in {state} state.", *self._problems]
        used = self._view.used
        existing = {name.lower() for name in used.configs}
        active = used.active_config or "none"
        always = ", ".join(name for name in used.always_configs if name.lower() in existing) or "none"
        count = len(self._view.entries)
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
        """Made when the database first answers. Tango itself reconnects after the database was away."""
        if self._connected is None:
            db = TangoDatabase()
            self._connected = db, Editor(db, self.get_name(), self._history, lambda: self._last_good)
        return self._connected

    # -------------------------------------------------------------- attributes
    # Each has the name of the property that it shows; as members of this class both need different names.

    beamline = attribute(name="Beamline", dtype=str, fget="read_Beamline", doc="Short name of the beamline")
    configs = attribute(
        name="Configs", dtype=(str,), max_dim_x=MAX_LIST_LENGTH, fget="read_Configs", doc="Names of the configurations"
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
        max_dim_x=MAX_LIST_LENGTH,
        fget="read_Problems",
        doc="What is wrong in the properties, with line and reason, and in the programs that record",
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
        name="KafkaBootstrapServers",
        dtype=str,
        fget="read_KafkaBootstrapServers",
        doc="Brokers that metadata is sent to",
    )
    topic = attribute(name="Topic", dtype=str, fget="read_Topic", doc="Kafka topic that metadata is sent to")

    def read_Beamline(self) -> str:
        return self._view.settings.beamline

    def read_Configs(self) -> list[str]:
        return [sendable(name) for name in sorted(self._view.settings.configs)][:MAX_LIST_LENGTH]

    def read_ActiveConfig(self) -> str:
        return sendable(self._view.used.active_config)

    @without_monitor
    def write_ActiveConfig(self, name: str) -> None:
        self._refresh()  # the configuration may just have been added in jive
        wanted, who = self._config_name(name), caller(self)
        self._change(lambda: self._edit.activate(wanted, who))

    def read_Entries(self) -> str:
        return self._view.json

    def read_Problems(self) -> list[str]:
        return self._problems[:MAX_LIST_LENGTH]

    def read_Revision(self) -> str:
        return self._view.revision

    def read_LastSnapshot(self) -> str:
        return self._last_snapshot

    def read_KafkaBootstrapServers(self) -> str:
        return sendable(self._view.settings.kafka_bootstrap_servers)

    def read_Topic(self) -> str:
        return sendable(self._view.settings.topic)

    # --------------------------------------------------------- commands: state

    @command
    @without_monitor
    def Reload(self) -> None:
        """Read the properties now, instead of within a few seconds."""
        self._refresh()

    @command(dtype_out=str, doc_out="JSON of the settings, with the lines of each configuration")
    @without_monitor
    def InUse(self) -> str:
        """The settings in use, with the last good value of a wrong property. For programs that have never read them."""
        return json.dumps(asdict(self._view.used))

    @command(
        dtype_in=(str,),
        doc_in="Run; program and host; what is wrong there, or an empty text if all is well again",
    )
    @without_monitor
    def ReportTrouble(self, texts: list[str]) -> None:
        """A program that records reports that its metadata waits, or its disk is nearly full. Shown in Problems."""
        if len(texts) != 3:
            raise WrongReport(f"expected three texts (run, program and host, trouble), but got {len(texts)}")
        run, who, trouble = (" ".join(given[:MAX_TROUBLE_CHARACTERS].split()) for given in texts)
        with tango.AutoTangoMonitor(self):
            self._troubles.pop(run, None)
            if trouble:
                self._troubles[run] = (time.monotonic(), sendable(f"{who}: {trouble}"))
            while len(self._troubles) > MAX_TROUBLES:
                del self._troubles[next(iter(self._troubles))]
            self._publish()

    @command(
        doc_in="JSON of {uuid, name, time, program, host, values, failedCount, failed}: the dataset, the number of "
        "values to read for it and of those that could not be read, and a list of these: {group, name, source, error}",
    )
    @without_monitor
    def ReportSnapshot(self, report: str) -> None:
        """A program that records reports what it has read for a dataset. Shown in LastSnapshot."""
        given = json_object(report, tuple(SNAPSHOT_REPORT_FIELDS))
        for name, kind in SNAPSHOT_REPORT_FIELDS.items():
            if not isinstance(given.get(name), kind):
                raise WrongReport(f"{name} is missing, or not of type {kind.__name__}")
        with tango.AutoTangoMonitor(self):
            self._last_snapshot = json.dumps({"from": "dataset", **given})
            self._publish()

    # ------------------------------------------------- commands: configurations

    @command(
        doc_in="Name of a configuration",
        doc_out="JSON of {name, revision, lines, entries, problems}: the lines as in the property, and what they mean",
    )
    @without_monitor
    def GetConfig(self, name: str) -> str:
        """A configuration as it is in the database now, with the revision that SaveConfig needs."""
        self._refresh()
        settings = self._view.settings
        return _described(config_in(settings, _config_name(name, settings)))

    @command(
        doc_in="JSON of {name, revision, lines or entries, who}: revision is that of GetConfig before the edit, "
        '"" for a new configuration; lines as in the property, or entries as objects {name, source, group, unit, map, '
        "record}; who is optional, a name for the history",
        doc_out="The configuration as it is now: JSON as of GetConfig",
    )
    @without_monitor
    def SaveConfig(self, request: str) -> str:
        """Write a configuration, unless another client has changed it since it was read, or it has mistakes."""
        wanted = json_object(request, ("name", "revision", "lines", "entries", "who"))
        return self._save(wanted, lines_in(wanted), "saved")

    @command(
        doc_in="JSON of {name, revision, text or base64, who}: as for SaveConfig, but the content is a file's text, or "
        "its bytes in base64: YAML as in the property, or CSV with the columns name, source, group, unit, map, record",
        doc_out="The configuration as it is now: JSON as of GetConfig",
    )
    @without_monitor
    def ImportConfig(self, request: str) -> str:
        """Write a configuration from a file; nothing is written if a line is wrong."""
        wanted = json_object(request, ("name", "revision", "text", "base64", "who"))
        return self._save(wanted, table_in(wanted), "imported")

    @command(
        dtype_in=(str,),
        doc_in="Name of a configuration, and the format: yaml (default), csv, csv; (with semicolons), or tsv",
        doc_out="JSON of {name, format, text}: text is the content of the file",
    )
    @without_monitor
    def ExportConfig(self, texts: list[str]) -> str:
        """A configuration as a file: YAML with all its comments, or a table for a spreadsheet."""
        name, wanted = text_arguments(texts, 1, 2, "a configuration's name and optionally a format")
        wanted = wanted.lower() or "yaml"
        if wanted not in EXPORT_SEPARATORS:
            raise WrongArgument(f"{wanted!r} is not a format; the formats are {', '.join(EXPORT_SEPARATORS)}")
        self._refresh()
        settings = self._view.settings
        found = config_in(settings, _config_name(name, settings))
        separator = EXPORT_SEPARATORS[wanted]
        content = table_file.csv_from_lines(found.lines, separator) if separator else "\n".join((*found.lines, ""))
        return json.dumps({"name": found.name, "format": wanted, "text": content})

    @command(
        dtype_in=(str,),
        doc_in="Name of a configuration, and optionally its revision: then it is only deleted if unchanged since",
    )
    @without_monitor
    def DeleteConfig(self, texts: list[str]) -> None:
        """Delete a configuration that is not in use. It stays in the history."""
        name, revision = text_arguments(texts, 1, 2, "a configuration's name and optionally its revision")
        self._refresh()
        wanted, who = self._config_name(name), caller(self)
        self._change(lambda: self._edit.delete(wanted, who, revision))

    @command(
        dtype_in=(str,), doc_in="Name of a configuration, and the name of the copy", doc_out="JSON as of GetConfig"
    )
    @without_monitor
    def CopyConfig(self, texts: list[str]) -> str:
        """Copy a configuration to a new name."""
        return self._copy_or_rename(texts, lambda name, new, who: self._edit.copy(name, new, who))

    @command(dtype_in=(str,), doc_in="Name of a configuration, and the new name", doc_out="JSON as of GetConfig")
    @without_monitor
    def RenameConfig(self, texts: list[str]) -> str:
        """Rename a configuration, also in ActiveConfig and AlwaysConfigs."""
        return self._copy_or_rename(texts, lambda name, new, who: self._edit.rename(name, new, who))

    # ------------------------------------------------------- commands: history

    @command(
        doc_in="Name of a configuration, or of a property as the documentation writes it (Beamline is the property, "
        "beamline and Config.beamline the configuration); empty: all; or # and a number: that change with its lines",
        doc_out="JSON list, newest first, of {number, time, who, what, property, revision, lines, added, removed}; "
        "of one change: {number, time, who, what, property, revision, lines, before}",
    )
    @without_monitor
    def History(self, name: str) -> str:
        """Who changed what, and when. A change made in jive is shown as made by `the database`."""
        self._refresh()
        wanted = text(name).strip()
        if wanted.startswith("#"):
            number = wanted[1:]
            change = self._history.change(int(number)) if number.isdecimal() and len(number) < 20 else None
            if change is None:
                raise UnknownChange(f"the history has no change {wanted}")
            before = self._history.before(change)
            return json.dumps({**_summary(change), "lines": change.lines, "before": before.lines if before else None})
        changes = self._history.of(self._matching_properties(wanted)) if wanted else self._history.changes[::-1]
        return json.dumps(
            [_summary_with_counts(change, self._history.before(change)) for change in changes[:MAX_LISTED_CHANGES]]
        )

    @command(dtype_in=int, doc_in="Number of a change, as in History", doc_out="JSON of that change, as of History")
    @without_monitor
    def Restore(self, number: int) -> str:
        """Set a property to its value after that change. The value before stays in the history."""
        who = caller(self)
        change = self._change(lambda: self._edit.restore(int(number), who))
        return json.dumps({**_summary(change), "lines": change.lines})

    # ------------------------------------------------ commands: the live system

    @command(
        doc_in=CONTENT_DOC,
        doc_out="JSON of {ok, time, seconds, entries, findings, devices}: each finding is {level, text, config, group, "
        "name, source}, its level error, warning or note; devices has the seconds of each, null without an answer",
    )
    @without_monitor
    def Validate(self, which: str) -> str:
        """Check lines, and all devices and attributes in them. Devices that do not answer within 2.5 s are reported."""
        until = time.monotonic() + check.CHECK_REPLY_SECONDS
        _, entries, problems = self._content(which)
        findings = [check.Finding(check.ERROR, problem) for problem in problems]
        reads = check.read(entries, self._reader, until - time.monotonic())
        findings += check.check(reads, functools.partial(self._is_defined, until))
        return json.dumps(check.report(findings, reads))

    @command(
        doc_in=CONTENT_DOC,
        doc_out="JSON of {time, seconds, values, failed, devices, scientificMetadata, problems}: failed is a list of "
        "{group, name, source, error}; devices has the seconds that each took, null without an answer",
    )
    @without_monitor
    def Preview(self, which: str) -> str:
        """Take a snapshot now, and show it: what is read within 2.5 s, or SnapshotTimeout if that is shorter."""
        until = time.monotonic() + check.CHECK_REPLY_SECONDS
        settings, entries, problems = self._content(which)
        reads = check.read(entries, self._reader, min(until - time.monotonic(), settings.snapshot_timeout))
        found = check.preview(reads, settings.max_array_size)
        with tango.AutoTangoMonitor(self):
            self._last_snapshot = json.dumps(check.summary(found))
            self._publish()
        return json.dumps({**found, "problems": problems})

    @command(
        doc_in="Part of a name, or a pattern with *; empty for all",
        dtype_out=(str,),
        doc_out="Names of devices in the Tango database",
    )
    @without_monitor
    def BrowseDevices(self, pattern: str) -> list[str]:
        """Devices to choose from."""
        wanted = text(pattern).strip() or "*"
        if len(wanted) > MAX_NAME_CHARACTERS:
            raise WrongArgument(f"the pattern has {len(wanted)} characters; {MAX_NAME_CHARACTERS} are possible")
        wanted = wanted if "*" in wanted else f"*{wanted}*"
        try:
            return list(
                map(sendable, self._database.call(check.CHECK_REPLY_SECONDS, lambda: self._db.device_names(wanted)))
            )
        except TimeoutError as error:
            raise NoAnswer("the Tango database does not answer") from error
        except tango.DevFailed as failed:
            raise NoAnswer(f"the Tango database: {reason(failed)}") from failed

    @command(
        doc_in="Name of a device",
        doc_out="JSON list of {name, label, unit, description, type, format, writable, labels}",
    )
    @without_monitor
    def BrowseAttributes(self, device: str) -> str:
        """A device's attributes to choose from. Fails if it does not answer within 2.5 s."""
        name = text(device).strip()
        if self._browsing.busy >= MAX_BROWSED:
            raise NoAnswer(f"{MAX_BROWSED} devices that were asked before have not answered yet: try again later")
        try:
            return json.dumps(
                call_with_timeout(self._browsing, check.CHECK_REPLY_SECONDS, lambda: check.attributes(name))
            )
        except TimeoutError as error:
            raise NoAnswer(f"{name} has not answered within {check.CHECK_REPLY_SECONDS:g} s") from error
        except tango.DevFailed as failed:
            raise NoAnswer(f"{name}: {reason(failed)}") from failed

    # ------------------------------------------------------------------ helpers

    def _config_name(self, given: str) -> str:
        return _config_name(given, self._view.settings)

    def _matching_properties(self, wanted: str) -> list[str]:
        """The properties that a name may mean: a property itself and a configuration, the more likely one first."""
        prefixed = wanted.lower().startswith(CONFIG_PREFIX.lower())
        name = wanted[len(CONFIG_PREFIX) :] if prefixed else wanted
        configs = [CONFIG_PREFIX + name, CONFIG_PREFIX + self._config_name(name)]
        if prefixed:
            return configs
        return [wanted, *configs] if wanted in PROPERTIES else [*configs, wanted]

    def _save(self, wanted: dict[str, Any], lines: Sequence[str], what: str) -> str:
        name, revision = self._config_name(text_in(wanted, "name")), text_in(wanted, "revision")
        who = caller(self, text_in(wanted, "who", ""))
        found = self._change(lambda: self._edit.save(name, lines, revision, who, what))
        return _described(found)

    def _copy_or_rename(self, texts: list[str], call: Callable[[str, str, str], StoredConfiguration]) -> str:
        name, new = text_arguments(texts, 2, 2, "a configuration's name and the new one")
        self._refresh()
        wanted, who = self._config_name(name), caller(self)
        found = self._change(lambda: call(wanted, new, who))
        return _described(found)

    def _content(self, which: str) -> tuple[Settings, list[Entry], list[str]]:
        """The entries that `which` selects, the mistakes in their lines, and the settings of the same moment."""
        self._refresh()
        view = self._view
        settings, used = view.settings, view.used
        if not text(which).strip():
            entries, problems = used.entries()
            return settings, entries, [*used.problems, *problems]
        if which.lstrip().startswith("{"):
            wanted = json_object(which, ("name", "lines", "entries"))
            name, lines = text_in(wanted, "name", ""), lines_in(wanted)
        else:
            found = config_in(settings, _config_name(which, settings))
            name, lines = found.name, list(found.lines)
        entries, problems = parse_new_entries(lines, name)
        if len(entries) > MAX_CHECKED_ENTRIES:
            raise WrongArgument(f"it has {len(entries)} entries; {MAX_CHECKED_ENTRIES} can be read at a time")
        return settings, entries, problems

    def _is_defined(self, until: float, device: str) -> bool:
        """Whether the database has it; True if there is no time left to ask, or no answer."""
        try:
            return self._database.call(until - time.monotonic(), lambda: self._db.has_device(device))
        except (tango.DevFailed, TimeoutError):
            return True


class WrongReport(Exception):
    """A program's report does not have the documented form."""


class NoAnswer(Exception):
    """A device does not answer, or not in time."""


def _config_name(given: str, settings: Settings) -> str:
    """A configuration's name, from the form that the attribute Configs shows, or as the client sent it."""
    name = text(given).strip()
    shown = {sendable(known).lower(): known for known in settings.configs}
    return shown.get(name.lower(), name)


def _described(found: StoredConfiguration) -> str:
    entries, problems = parse_new_entries(found.lines, found.name)
    return json.dumps(
        {
            "name": found.name,
            "revision": found.revision,
            "lines": found.lines,
            "entries": json.loads(entries_as_json(entries)),
            "problems": problems,
        }
    )


def _summary(change: Change) -> dict[str, Any]:
    return {
        "number": change.number,
        "time": change.time,
        "who": change.who,
        "what": change.what,
        "property": change.property,
        "revision": revision_of(change.lines) if change.lines is not None else "",
    }


def _summary_with_counts(change: Change, before: Change | None) -> dict[str, Any]:
    now, old = set(change.lines or ()), set(before.lines or ()) if before else set()
    return {**_summary(change), "lines": len(change.lines or ()), "added": len(now - old), "removed": len(old - now)}


def _tango_host() -> str:
    db = tango.Util.instance().get_database()
    return f"{db.get_db_host()}:{db.get_db_port()}"


def main() -> None:
    run((SciDog,))


if __name__ == "__main__":
    main()
