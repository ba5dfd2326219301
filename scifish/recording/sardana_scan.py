"""A Sardana scan as the fields of a dataset. It reads what Sardana gives to a recorder, and does not import Sardana."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

from scifish.attributes.configuration import unit_of
from scifish.dataset.files import FileReferences
from scifish.message import MAX_ARRAY, Message, plain
from scifish.recording.sardana_options import OPTIONS_VARIABLE, RecorderOptions
from scifish.recording.scan_results import Column, ScanResults, group_name
from scifish.tango_io.database import decoded, text

DATA_FORMATS = {".h5": "HDF5", ".hdf5": "HDF5", ".nxs": "NeXus", ".nx": "NeXus", ".dat": "SPEC", ".spec": "SPEC"}

CUSTOM_DATA_GROUP = "Custom data"
PRE_SCAN_GROUP = "Sardana snapshot"

TIME_COLUMN = Column("timestamp", "time", "s")
"""The axis of a scan without motors."""

PLOT_TYPE_SPECTRUM = 1
"""sardana.taurus.core.tango.sardana.PlotType: the user selected the channel for plotting in expconf."""


class SardanaScan:
    """One scan. One thread adds to it; another thread may call `latest`.

    `environment` is Sardana's own object, which Sardana changes while the scan runs.
    """

    def __init__(self, environment: Mapping[str, Any], options: RecorderOptions) -> None:
        self.options = options
        self._environment = environment
        self._motors = _motors(environment)
        self._references: dict[str, FileReferences] = {}
        self._custom: Message = {}
        self._changes = 0
        self._returned_changes = 0
        channels = [column for column in environment["datadesc"] if column.name in set(environment["counters"])]
        if options.detector_files:
            self._references = {channel.name: FileReferences() for channel in channels if _is_reference(channel)}
        self._results: ScanResults | None = None
        if options.results or options.plot:
            scalars = [channel for channel in channels if not _is_reference(channel) and _is_scalar(channel)]
            self._marked = [
                channel.name for channel in scalars if getattr(channel, "plot_type", 0) == PLOT_TYPE_SPECTRUM
            ]
            title = f"#{environment['serialno']} {environment['title']}"
            axes = self._motors or [TIME_COLUMN]
            self._results = ScanResults([_column(channel) for channel in scalars], axes, title)

    def point(self, values: Mapping[str, Any]) -> None:
        """Add a point: values by the names of the columns."""
        if self._results is not None:
            self._results.add(values)
        for name, references in self._references.items():
            reference = values.get(name)
            if isinstance(reference, str):
                references.add(reference)
        self._changes += 1

    def add_custom(self, name: str, value: Any) -> Message:
        """Add custom data of a macro, at any time. A later value replaces an earlier one of the same name.

        Returns the value as metadata.
        """
        added = {group_name(str(name)): _custom(value)}
        self._custom |= added
        self._changes += 1
        return {CUSTOM_DATA_GROUP: added}

    def mistakes(self) -> list[str]:
        """Options that do not fit this scan, as texts for the user."""
        if self._results is None or not self.options.plot:
            return []
        counters, axes = self._results.labels
        found = []
        for name, known, labels in (
            (self.options.plot_counter, self._results.find_counter, counters),
            (self.options.plot_axis, self._results.find_axis, axes),
        ):
            if name and known(name) is None:
                near = difflib.get_close_matches(name, labels, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(labels) or 'none'}"
                found.append(f"the variable {OPTIONS_VARIABLE}: this scan has no {name!r} to plot; {hint}")
        return found

    def latest(self) -> Message | None:
        """As `fields`; None if nothing has changed since the last call."""
        changes = self._changes
        if changes == self._returned_changes:
            return None
        self._returned_changes = changes
        return self.fields()

    def fields(self) -> Message:
        """The fields of the dataset, as far as they are known."""
        environment = self._environment
        labels = {column.name: text(column.label) for column in environment["datadesc"]}
        own = _scan_files(environment)
        extension = os.path.splitext(own[0])[1].lower() if own else ""
        found: Message = {
            "datasetName": environment["title"],
            # The folder of the files, even if it is not PathFixer's.
            "sourceFolder": environment.get("ScanDir") if own else "",
            "dataFormat": DATA_FORMATS.get(extension, extension.lstrip(".")),
            "files": own + [file for references in self._references.values() for file in references.files()],
            "environment": {
                "title": environment["title"],
                "scanID": int(environment["serialno"]),
                "user": str(environment["user"]),
                "detectors": sorted(labels.get(name, name) for name in environment["counters"]),
                "motors": [motor.label for motor in self._motors],
            },
            "scientificMetadata": self._metadata(),
        }
        return found | ({"description": self.options.description} if self.options.description else {})

    def plot(self) -> Message | None:
        """The data that `scifish.dataset.plot` draws; None if the plot is off, or there is nothing to draw."""
        if self._results is None or not self.options.plot:
            return None
        return self._results.plot(self.options.plot_counter, self.options.plot_axis, self._marked)

    def _metadata(self) -> Message:
        found: Message = {}
        if self._results is not None and self.options.results:
            found |= self._results.as_metadata()
        if self._custom:
            found[CUSTOM_DATA_GROUP] = dict(self._custom)
        snapshot = {
            group_name(text(column.label)): {
                "value": decoded(column.pre_scan_value),
                "source": str(getattr(column, "source", "")),
            }
            for column in self._environment.get("preScanSnapShot") or ()
        }
        return found | ({PRE_SCAN_GROUP: snapshot} if snapshot else {})


def _is_reference(channel: Any) -> bool:
    return bool(getattr(channel, "value_ref_enabled", False))


def _is_scalar(channel: Any) -> bool:
    return not tuple(channel.shape or ())


def _column(channel: Any) -> Column:
    return Column(channel.name, text(channel.label), unit_of(getattr(channel, "data_units", None) or ""))


def _motors(environment: Mapping[str, Any]) -> list[Column]:
    """The motors of the scan, in its order. `ref_moveables` has only the first one."""
    columns = [column for column in environment["datadesc"] if hasattr(column, "moveable")]
    found = [Column(column.name, text(column.label), _unit(column.moveable)) for column in columns]
    return found or [Column(name, str(name)) for name in environment["ref_moveables"]]


def _unit(moveable: Any) -> str:
    """The unit of a motor as Sardana knows it, else as its device has it; this reads nothing from the device."""
    try:
        position = moveable.getPositionObj()
        unit = f"{position._units:~}" or unit_of(position._pytango_attrinfoex.unit)
    except Exception:  # noqa: BLE001 - a motor without such an object: the plot has no unit
        return ""
    return unit


def _scan_files(environment: Mapping[str, Any]) -> list[Any]:
    """The scan files' full paths: ScanFile is a name, a list of names, or nothing."""
    names = environment.get("ScanFile") or []
    folder = environment.get("ScanDir")
    if not folder:
        return []
    return [os.path.join(folder, name) for name in ([names] if isinstance(names, str) else names)]


def _custom(value: Any) -> Any:
    """A copy, because the macro may change the value later. Long arrays stay arrays: they are summarised later."""
    if isinstance(value, Mapping):
        return {str(name): _custom(inner) for name, inner in value.items()}
    if not isinstance(value, list | tuple) and not hasattr(value, "tolist"):
        endless = isinstance(value, Iterable) and not isinstance(value, Sized)
        return plain(repr(value) if endless else value)
    found = _numbers(value)
    if found is not None:
        return found
    texts = list(_first(value))
    return texts if len(texts) == len(value) else [*texts, f"... ({len(value)} in all)"]


def _numbers(value: Any) -> Any:
    """The value as an array of numbers or a short list; None if it is neither."""
    import numpy as np  # Sardana depends on it; a program that only sends does not need it

    try:
        found = np.array(value)
    except ValueError:  # lists of different lengths
        return None
    return found if found.dtype.kind in "uif" else found.tolist() if found.size <= MAX_ARRAY else None


def _first(value: Any) -> Iterator[Any]:
    for inner in value[:MAX_ARRAY]:
        yield plain(inner)
