"""`SciFish`: recording for any Python program that measures.

    fish = SciFish()
    fish.start_scan(datasetName="lysozyme_1")
    fish.scicat_data.scientificMetadata["energy"] = {"value": 12.4, "unit": "keV"}
    fish.send_start()
    ...
    fish.end_scan()

The interface is the one that contrast and MXCuBE call at MAX IV.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from scifish.compose import as_given, began
from scifish.message import STATUSES, Message
from scifish.settings import Settings
from scifish.station import Dataset, station

log = logging.getLogger(__name__)

SHOW = 0.5
"""Seconds that `show` waits for values that are still being read, and for the disk."""

Method = TypeVar("Method", bound=Callable[..., Any])


def _never_raises(method: Method) -> Method:
    """A measurement must not fail because of its metadata: what is wrong is said in the log."""

    @functools.wraps(method)
    def quiet(self: SciFish, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception:
            log.exception("SciFish.%s", method.__name__)
            return None

    return cast(Method, quiet)


@dataclass
class ScicatData:
    """The fields of the dataset. What is left empty is taken from PathFixer where it knows.

    `scientificMetadata` holds plain values, `{"value", "unit"}`, and dictionaries of these.
    `files` holds paths, or `{"path", "time", "size"}` with time in UTC (ISO 8601) and size in bytes.
    """

    datasetName: Any = ""
    proposalId: Any = ""
    sampleId: Any = ""
    sourceFolder: Any = ""
    dataFormat: Any = ""
    description: Any = ""
    scientificMetadata: dict[str, Any] = field(default_factory=dict)
    files: list[Any] = field(default_factory=list)


@dataclass
class EnvironmentData:
    """The measurement: its title, its number, its detectors."""

    title: Any = ""
    scanID: Any = None
    detectors: Any = field(default_factory=list)


class SciFish:
    """Records one dataset after the other. After construction nothing raises and nothing blocks.

    Settings come from the SciDog of the Tango database; with `settings` no database is asked.
    Raises OSError or NotRecorded if the spool has no place on this machine, SettingsError for
    `settings` that name no beamline.
    """

    def __init__(self, settings: Settings | None = None, program: str = "") -> None:
        self._station = station(settings, program)
        self._shared = settings is None
        self._dataset: Dataset | None = None
        self.scicat_data = ScicatData()
        self.environment_data = EnvironmentData()

    @property
    def sampleId(self) -> Any:
        """The same as `scicat_data.sampleId`: MXCuBE sets it here."""
        return self.scicat_data.sampleId

    @sampleId.setter
    def sampleId(self, sample: Any) -> None:
        self.scicat_data.sampleId = sample

    @property
    def uuid(self) -> str:
        """Of the dataset that is being recorded, or was last; "" before the first."""
        return self._dataset.uuid if self._dataset else ""

    @_never_raises
    def start_scan(self, datasetName: Any = "") -> None:
        """A dataset begins: the configured attributes are read now. One that is still open is over."""
        if self._dataset is not None:
            self._dataset.end("interrupted", self._given())
        self.scicat_data = ScicatData(datasetName=datasetName)
        self.environment_data = EnvironmentData()
        self._dataset = self._station.begin(self._given(), announce=False)

    @_never_raises
    def send_start(self) -> None:
        """Let the dataset be seen now, with what is known. Without this it is seen when it ends."""
        if self._dataset is None:
            log.error("SciFish.send_start: start_scan was not called")
        else:
            self._dataset.announce(self._given())

    @_never_raises
    def end_scan(self, status: str = "completed", points: int = 0) -> None:
        """The dataset is over, and on disk when this returns. `status` is one of `scifish.message.STATUSES`."""
        if self._dataset is None:
            log.error("SciFish.end_scan: start_scan was not called")
            return
        if status not in STATUSES:
            log.error("SciFish.end_scan: status %r is not one of %s; 'failed' is recorded", status, STATUSES)
            status = "failed"
        try:
            self._dataset.points = max(int(points), 0)
        except (ValueError, TypeError, OverflowError):
            log.error("SciFish.end_scan: points %r is not a number; 0 is recorded", points)
        self._dataset.end(status, self._given())

    @_never_raises
    def show(self) -> str:
        """What is known of the dataset now, for a person to read."""
        settings = self._station.settings.known()
        if self._dataset is None or settings is None:
            return "no dataset is being recorded" if self._dataset is None else "the settings are not known yet"
        record = self._dataset.record
        self._dataset.observed.wait(SHOW)
        seen = self._station.observed(record.uuid, SHOW) or record.observed
        origin = self._station.origin
        now = replace(record, given=as_given(self._given(), record.started, origin["program"]), observed=seen)
        return json.dumps(began(now, settings, origin), ensure_ascii=False, indent=2)

    def close(self) -> None:
        """Send what can be sent in some seconds. Only for a SciFish with `settings` of its own."""
        if not self._shared:
            self._station.close()

    def _given(self) -> Message:
        data, environment = self.scicat_data, self.environment_data
        said = {name: value for name, value in vars(data).items() if not _empty(value)}
        return said | {"environment": {name: value for name, value in vars(environment).items() if not _empty(value)}}


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value)
