"""A count that is recorded: Sardana calls no recorder for `ct`."""

from __future__ import annotations

from typing import Any

from sardana.macroserver.macro import Optional, Type, macro

from scifish.attributes.configuration import unit_of
from scifish.dataset.files import path_of
from scifish.recording.scan_results import group_name
from scifish.recording.session import recording_session
from scifish.recording.spock import remember_snapshot, variable
from scifish.tango_io.database import text

__all__ = ["scict"]


@macro(
    [
        ["integ_time", Type.Float, 1.0, "Integration time (seconds)"],
        ["countable_elem", Type.Countable, Optional, "Measurement group or channel (default: the active group)"],
    ]
)
def scict(self: Any, integ_time: float, countable_elem: Any) -> None:
    """Count as `ct` does, and record the values as a dataset of its own, with all configured attributes."""
    asked = [] if countable_elem is None else [countable_elem.name]
    counting = self.execMacro("ct", integ_time, *asked)
    name = " ".join(["ct", f"{integ_time:g}", counting.countable_elem_name])
    counters, files = _counted(counting)
    user = str(variable(self, "ScanUser", ""))
    dataset = recording_session().record_snapshot(
        {
            "datasetName": name,
            "environment": {"title": f"sci{name}", "user": user, "detectors": sorted(counters) + sorted(files)},
            "scientificMetadata": {"Counters": {group_name(label): leaf for label, leaf in counters.items()}},
            "files": [path for path in files.values() if path],
        }
    )
    remember_snapshot(self, dataset.uuid, name)
    self.output("")
    self.output("This count is recorded.")


def _counted(counting: Any) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The results of a `ct` by label: the value of each channel, and the file of each channel with a reference."""
    element = counting.countable_elem
    values = counting.data.data
    if element.type != Type.MeasurementGroup:
        return {element.name: {"value": values[element.full_name], "source": element.full_name}}, {}
    counters: dict[str, dict[str, Any]] = {}
    files: dict[str, str] = {}
    for channel in element.getChannelsEnabledInfo():
        value, label = values.get(channel.full_name), text(channel.label)
        if getattr(channel, "value_ref_enabled", False):
            files[label] = path_of(value) if isinstance(value, str) else ""
        else:
            counters[label] = {"value": value, "unit": unit_of(channel.unit or ""), "source": channel.full_name}
    return counters, files
