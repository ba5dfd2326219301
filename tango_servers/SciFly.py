"""The Tango device that makes a dataset of each measurement that another vendor's program writes as files."""

from __future__ import annotations

import tango
from tango.server import Device, attribute, command, device_property, run

from scifish.tango_io.database import text
from tango_servers.common.background import PeriodicThread
from tango_servers.common.replies import AttributePublisher, raising_devfailed, sendable
from tango_servers.pathfixer.property_check import PropertyCheck
from tango_servers.scifly.properties import DEFAULT_CATCH_UP_SECONDS, SciFlyProperties, settings_from
from tango_servers.scifly.service import SciFlyWork

UPDATE_SECONDS = 0.5
"""Seconds between two queries of PathFixer, and between two updates of the attributes."""

LONGEST_LIST = 1000

Value = int | str | list[str]


class SciFly(Device):
    """Watches PathFixer's path, and makes a dataset of each measurement that a program writes there as files.

    ON: watching. STANDBY: PathFixer has no active proposal, so there is nothing to watch. OFF: stopped by Stop. INIT:
    the device has just started.

    ALARM: watching, but something is wrong: a property has a mistake, PathFixer does not answer and its last answer is
    in use, the kernel's limits are reached, or metadata waits for Kafka.

    FAULT: nothing can be watched or recorded. A property is wrong, the path is unknown or missing, or the journal
    cannot be created.

    The Status says what is wrong and what to do. Reads are answered from memory.
    """

    # Most have one line, but with a single string Tango silently drops everything after the first line.
    Profiles = device_property(
        dtype=(str,),
        default_value=(),
        doc="Which files are measurements, one profile per line: ses, or {name: frames, pattern: 'eiger/*.h5', "
        "group: folder, settle: 10, modified: false, reader: none} (default: ses and prodigy)",
    )
    PathFixer = device_property(
        dtype=(str,), default_value=(), doc="Device that provides proposal, sample and path (default: that of SciDog)"
    )
    SciDog = device_property(
        dtype=(str,),
        default_value=(),
        doc="The beamline's SciDog, if the database has several (default: SCIDOG_DEVICE, else the only one)",
    )
    Folder = device_property(
        dtype=(str,),
        default_value=(),
        doc="Folder to be watched: /mnt/ses, {path}/ses, /mnt/ses/{proposal}; it may contain path, sample_path, "
        "category, proposal, visit, sample (default: PathFixer's Path)",
    )
    Method = device_property(
        dtype=(str,),
        default_value=(),
        doc="auto, inotify, or polling, which also sees what other machines write (default: auto)",
    )
    CatchUp = device_property(
        dtype=(str,),
        default_value=(),
        doc="Seconds: files written while the device was not running are recorded if not older; 0: none "
        f"(default: {DEFAULT_CATCH_UP_SECONDS:.0f})",
    )
    TimeZone = device_property(
        dtype=(str,),
        default_value=(),
        doc="Time zone of dates in files that give none: Europe/Stockholm (default: the machine's)",
    )

    PUSHED = (
        *("WatchedPath", "Method", "Proposal", "Sample", "Recorded", "Pending", "Ignored", "Skipped"),
        *("LastFile", "LastRecorded", "LastError", "Problems"),
    )

    # -------------------------------------------------------------- life cycle

    def init_device(self) -> None:
        super().init_device()
        self._publisher = AttributePublisher(self, self.PUSHED)
        self._property_check = PropertyCheck(self.get_name(), list(self.get_device_class().device_property_list), ())
        self._scifly_work = SciFlyWork(self._from_properties())
        self._show()
        self._background = PeriodicThread(f"{self.get_name()} work", self._work, UPDATE_SECONDS)
        self._background.start()
        self._background.wake()

    def delete_device(self) -> None:
        self._background.stop()
        self._scifly_work.close()

    def _from_properties(self) -> SciFlyProperties:
        return settings_from(
            profiles=self.Profiles,
            path_fixer=self.PathFixer,
            scidog=self.SciDog,
            folder=self.Folder,
            method=self.Method,
            catch_up=self.CatchUp,
            time_zone=self.TimeZone,
        )

    def _work(self) -> None:
        work = self._scifly_work
        self._property_check.run()
        try:
            work.work()
        finally:
            with tango.AutoTangoMonitor(self):
                if work is self._scifly_work:
                    self._show()

    def _show(self) -> None:
        """Update what clients see, all from the same moment, and push change events. Call it with the monitor held."""
        shown = self._scifly_work.shown()
        counts, condition = shown.counts, shown.condition()
        condition.alarms += self._property_check.problems
        problems = [*condition.faults, *condition.alarms]
        self._values: dict[str, Value] = {
            "WatchedPath": sendable(shown.watched),
            "Method": shown.method,
            "Proposal": sendable(shown.place.proposal),
            "Sample": sendable(shown.place.sample),
            "Recorded": counts.recorded,
            "Pending": shown.pending,
            "Ignored": counts.ignored,
            "Skipped": counts.skipped,
            "LastFile": sendable(counts.last_file),
            "LastRecorded": counts.last_recorded,
            "LastError": sendable(counts.last_error),
            "Problems": list(map(sendable, problems))[:LONGEST_LIST],
        }
        self._publisher.publish(condition.state(shown.ready), condition.status(shown.ready), self._values)

    # -------------------------------------------------------------- attributes
    # Some have the name of a property; as members of this class both need different names.

    WatchedPath = attribute(dtype=str, doc='The watched folder, with all folders below it; "" for none')
    method = attribute(
        name="Method",
        dtype=str,
        fget="read_Method",
        doc='Method in use: inotify or polling, "" while nothing is watched',
    )
    Proposal = attribute(dtype=str, doc='Proposal of a measurement that starts now; "" for none')
    Sample = attribute(dtype=str, doc='Sample of a measurement that starts now; "" for none')
    Recorded = attribute(dtype="DevLong64", doc="Measurements recorded since the start")
    Pending = attribute(dtype="DevLong64", doc="Files and measurements that are not finished")
    Ignored = attribute(
        dtype="DevLong64", doc="Changes of recorded files that their profile does not record (modified)"
    )
    Skipped = attribute(dtype="DevLong64", doc="Files older than CatchUp when they were first seen")
    LastFile = attribute(dtype=str, doc="The last file that was recorded")
    LastRecorded = attribute(dtype=str, doc='When the last file was recorded: UTC, ISO 8601; "" before the first')
    LastError = attribute(
        dtype=str, doc='Why the last such measurement could not be read or recorded; "" for none since the start'
    )
    Problems = attribute(
        dtype=(str,), max_dim_x=LONGEST_LIST, doc="What makes the State ALARM or FAULT, and what to do"
    )

    def read_WatchedPath(self) -> Value:
        return self._values["WatchedPath"]

    def read_Method(self) -> Value:
        return self._values["Method"]

    def read_Proposal(self) -> Value:
        return self._values["Proposal"]

    def read_Sample(self) -> Value:
        return self._values["Sample"]

    def read_Recorded(self) -> Value:
        return self._values["Recorded"]

    def read_Pending(self) -> Value:
        return self._values["Pending"]

    def read_Ignored(self) -> Value:
        return self._values["Ignored"]

    def read_Skipped(self) -> Value:
        return self._values["Skipped"]

    def read_LastFile(self) -> Value:
        return self._values["LastFile"]

    def read_LastRecorded(self) -> Value:
        return self._values["LastRecorded"]

    def read_LastError(self) -> Value:
        return self._values["LastError"]

    def read_Problems(self) -> Value:
        return self._values["Problems"]

    # ---------------------------------------------------------------- commands

    @command
    def Start(self) -> None:
        """Watch and record again, and record what was written since Stop."""
        self._scifly_work.start()
        self._show()
        self._background.wake()

    @command
    def Stop(self) -> None:
        """Watch and record nothing until Start, Init or a restart. Measurements in progress continue then."""
        self._scifly_work.stop()
        self._show()
        self._background.wake()

    @command
    def Rescan(self) -> None:
        """Check all files below the path again soon."""
        with raising_devfailed("SciFly", ValueError):
            self._scifly_work.rescan()

    @command(doc_in="Full path of a file below the watched folder", doc_out="uuid of its dataset")
    def RecordNow(self, file: str) -> str:
        """Record the measurement of this file as it is now, even if it is not finished or already recorded."""
        with raising_devfailed("SciFly", ValueError, OSError, TimeoutError), tango.AutoTangoAllowThreads(self):
            uuid = self._scifly_work.record_now(text(file).strip())
        self._show()
        return uuid


def main() -> None:
    run((SciFly,))


if __name__ == "__main__":
    main()
