"""A Sardana scan in the words of a dataset. It reads what Sardana hands to a recorder, and imports nothing of it."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

from scifish.dataset.files import FileReferences
from scifish.message import MAX_ARRAY, Message, plain
from scifish.recording.sardana_options import OPTIONS_VARIABLE, RecorderOptions
from scifish.recording.scan_results import Column, ScanResults, group_name

DATA_FORMATS = {".h5": "HDF5", ".hdf5": "HDF5", ".nxs": "NeXus", ".nx": "NeXus", ".dat": "SPEC", ".spec": "SPEC"}

CUSTOM_DATA_GROUP = "Custom data"
PRE_SCAN_GROUP = "Sardana snapshot"

TIME_COLUMN = Column("timestamp", "time", "s")
"""What a scan without motors goes along."""

PLOT_TYPE_SPECTRUM = 1
"""sardana.taurus.core.tango.sardana.PlotType: the user has it plotted, in expconf."""


class SardanaScan:
    """What is known of one scan. One thread adds to it; another may ask `latest`.

    `environment` is Sardana's own, which it changes while the scan runs.
    """

    def __init__(self, environment: Mapping[str, Any], options: RecorderOptions) -> None:
        self.options = options
        self._environment = environment
        self._motors = _motors(environment)
        self._references: dict[str, FileReferences] = {}
        self._custom: Message = {}
        self._news = 0
        self._told = 0
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
        """One more point, by the columns' names."""
        if self._results is not None:
            self._results.add(values)
        for name, references in self._references.items():
            reference = values.get(name)
            if isinstance(reference, str):
                references.add(reference)
        self._news += 1

    def add_custom(self, name: str, value: Any) -> Message:
        """What a macro adds, at any time. A later value of the same name is in place of the first.

        It is returned as the metadata that it makes.
        """
        added = {group_name(str(name)): _custom(value)}
        self._custom |= added
        self._news += 1
        return {CUSTOM_DATA_GROUP: added}

    def mistakes(self) -> list[str]:
        """What of the options does not fit this scan, for the user."""
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
        """As `said`; None if there is nothing new."""
        news = self._news
        if news == self._told:
            return None
        self._told = news
        return self.said()

    def said(self) -> Message:
        """The dataset's fields, as far as they are known."""
        environment = self._environment
        labels = {column.name: column.label for column in environment["datadesc"]}
        own = _scan_files(environment)
        extension = os.path.splitext(own[0])[1].lower() if own else ""
        said: Message = {
            "datasetName": environment["title"],
            # Where the files are, even if that is not where PathFixer would have them.
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
        return said | ({"description": self.options.description} if self.options.description else {})

    def plot(self) -> Message | None:
        """What `scifish.dataset.plot` draws; None if it is not asked for, or there is nothing to draw."""
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
            group_name(column.label): {"value": column.pre_scan_value, "source": str(getattr(column, "source", ""))}
            for column in self._environment.get("preScanSnapShot") or ()
        }
        return found | ({PRE_SCAN_GROUP: snapshot} if snapshot else {})


def _is_reference(channel: Any) -> bool:
    return bool(getattr(channel, "value_ref_enabled", False))


def _is_scalar(channel: Any) -> bool:
    return not tuple(channel.shape or ())


def _column(channel: Any) -> Column:
    return Column(channel.name, str(channel.label), str(getattr(channel, "data_units", None) or ""))


def _motors(environment: Mapping[str, Any]) -> list[Column]:
    """The motors of the scan, first motor first. `ref_moveables` has the first one only."""
    columns = [column for column in environment["datadesc"] if hasattr(column, "moveable")]
    found = [Column(column.name, str(column.label), _unit(column.moveable)) for column in columns]
    return found or [Column(name, str(name)) for name in environment["ref_moveables"]]


def _unit(moveable: Any) -> str:
    """A motor's unit as Sardana already knows it; nothing is read here."""
    try:
        unit = f"{moveable.getPositionObj()._units:~}"
    except Exception:  # noqa: BLE001 - a motor of another kind; a plot does without its unit
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
    """A copy, as the macro may go on to change it. Long arrays are kept as such: they are summarised later."""
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
    """As an array of numbers; None if it is none."""
    import numpy as np  # Sardana's own dependency, not one of a program that only sends

    try:
        found = np.array(value)
    except ValueError:  # lists of different lengths
        return None
    return found if found.dtype.kind in "uif" else found.tolist() if found.size <= MAX_ARRAY else None


def _first(value: Any) -> Iterator[Any]:
    for inner in value[:MAX_ARRAY]:
        yield plain(inner)
