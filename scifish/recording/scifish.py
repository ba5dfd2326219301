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
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

from scifish.dataset.compose import as_given, began
from scifish.message import STATUSES, Message, plain
from scifish.recording.fields import DatasetFields
from scifish.recording.session import NotRecorded, RecordingHandle, RecordingSession, recording_session
from scifish.settings import Settings
from scifish.settings.sources import check_pathfixer, check_settings

log = logging.getLogger(__name__)

SHOW_TIMEOUT_SECONDS = 0.25
"""Seconds that `show` waits for the disk."""

Method = TypeVar("Method", bound=Callable[..., Any])


def _never_raises(method: Method) -> Method:
    """A measurement must not fail because of its metadata: errors go to the log."""

    @functools.wraps(method)
    def quiet(self: SciFish, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except NotRecorded as error:
            log.error("SciFish.%s: %s", method.__name__, error)
        except Exception:
            log.exception("SciFish.%s", method.__name__)
        return None

    return cast(Method, quiet)


class _Latest:
    """Gives the session the current fields. Ends the dataset if its SciFish object no longer exists."""

    def __init__(self, fish: SciFish, fields: DatasetFields) -> None:
        self._fish = weakref.ref(fish)
        self._fields = fields
        self.dataset: RecordingHandle | None = None

    def __call__(self) -> Message | None:
        if self._fish() is not None or self.dataset is None:
            return self._fields.latest()
        dataset, self.dataset = self.dataset, None
        log.warning("dataset %s: its SciFish object was deleted without end_scan; status interrupted", dataset.uuid)
        dataset.end("interrupted", self._fields.now())
        return None


class SciFish:
    """Records datasets, one after the other. After construction nothing raises and nothing blocks.

    `settings` are `scifish.settings.model.Settings`, or the path of a YAML file. Without, they come from the file
    that the environment variable SCIFISH_CONFIG names, else from the SciDog of the Tango database. `program`
    is the origin that the messages name; by default it is the name of the command. `pathfixer` is the name of the
    PathFixer to ask for proposal, sample and path, for a beamline that has several; by default it is the one of the
    settings.

    Raises SettingsError, and only if the settings, the file or the name are not valid. If the machine cannot record
    (its disk accepts no writes), an error is logged, and each dataset is a new attempt.
    """

    def __init__(
        self, settings: Settings | str | Path | None = None, program: str = "", pathfixer: str | None = None
    ) -> None:
        self._settings = check_settings(settings)
        self._pathfixer = check_pathfixer(pathfixer)
        self._program = program
        self._fields = DatasetFields()
        self._session: RecordingSession | None = None
        self._dataset: RecordingHandle | None = None
        self._recording = False
        _all.add(self)
        self._connect()

    @property
    def scicat_data(self) -> Any:
        """The fields of the dataset, a `ScicatData`."""
        return self._fields.scicat_data

    @scicat_data.setter
    def scicat_data(self, data: Any) -> None:
        if data is None:
            log.warning("SciFish: scicat_data is set to None: the fields set before are kept")
        else:
            self._fields.scicat_data = data

    @property
    def environment_data(self) -> Any:
        """The measurement, an `EnvironmentData`."""
        return self._fields.environment_data

    @environment_data.setter
    def environment_data(self, data: Any) -> None:
        if data is None:
            log.warning("SciFish: environment_data is set to None: the fields set before are kept")
        else:
            self._fields.environment_data = data

    @property
    def sampleId(self) -> Any:
        """The same as `scicat_data.sampleId`: MXCuBE sets it here."""
        return getattr(self.scicat_data, "sampleId", "")

    @sampleId.setter
    def sampleId(self, sample: Any) -> None:
        self._set_sample(sample)

    @property
    def uuid(self) -> str:
        """The uuid of the current or the last dataset; "" before the first one."""
        return self._dataset.uuid if self._dataset else ""

    @_never_raises
    def start_scan(self, datasetName: Any = "", *more: Any, **unknown: Any) -> None:
        """Begin a dataset: the configured attributes are read now. A dataset that is still open is interrupted.

        All fields are empty afterwards: set them after this call. Other arguments are logged and not recorded.
        """
        if wrong := [str(plain(one)) for one in more] + list(unknown):
            log.error("SciFish.start_scan takes datasetName only; not recorded: %s", ", ".join(wrong))
        if self._recording:
            self._end("interrupted")
        elif changed := self._fields.changed():
            names = ", ".join(map(str, map(plain, changed)))
            log.warning("SciFish.start_scan: fields set before it are not recorded: %s", names)
        self._dataset = None
        self._fields = DatasetFields(datasetName)
        self._session = recording_session(self._settings, self._program, pathfixer=self._pathfixer)
        latest = _Latest(self, self._fields)
        latest.dataset = self._dataset = self._session.begin(
            self._fields.now(), announce=False, latest=latest, points=None
        )
        self._recording = True

    @_never_raises
    def send_start(self) -> None:
        """Send the dataset now, with the current fields. Without this call it is sent when it ends."""
        if self._dataset is None:
            log.error("SciFish.send_start: %s", _NO_START)
        elif not self._recording:
            log.error("SciFish.send_start: dataset %s has ended already; nothing is changed", self.uuid)
        else:
            self._dataset.announce(self._fields.now())

    @_never_raises
    def end_scan(self, status: str = "completed", points: int | None = None) -> None:
        """End the dataset. It is on disk when this returns. `status` is one of `scifish.message.values.STATUSES`.

        Without `points` nothing is recorded of their number.
        """
        if self._dataset is None:
            log.error("SciFish.end_scan: %s", _NO_START)
        elif not self._recording:
            log.error("SciFish.end_scan: dataset %s has ended already; nothing is changed", self.uuid)
        else:
            self._dataset.points = _count(points)
            self._end(_status(status))

    @_never_raises
    def show(self) -> str:
        """The current dataset as JSON text, for people."""
        settings = self._session.settings.known() if self._session else None
        if self._dataset is None or self._session is None or settings is None:
            return "no dataset is being recorded" if self._dataset is None else "the settings are not known yet"
        record = self._dataset.record
        observed = self._session.observed(record.uuid, SHOW_TIMEOUT_SECONDS) or record.observed
        origin = self._session.origin
        given = as_given(self._fields.now(), record.started, origin["program"])
        now = replace(record, given=given, observed=observed)
        return json.dumps(began(now, settings, origin), ensure_ascii=False, indent=2)

    @_never_raises
    def close(self) -> None:
        """Interrupt an open dataset; with `settings` of its own, also close the session.

        Closing sends what can be sent within some seconds. The session stays open while other objects in this
        program record with the same settings. A later `start_scan` opens it again.
        """
        if self._recording:
            self._end("interrupted")
        here, self._session = self._session, None
        others = [fish for fish in list(_all) if fish._session is here and fish._recording]
        if here is not None and self._settings is not None and not others:
            here.close()

    def _end(self, status: str) -> None:
        self._recording = False
        if self._dataset is not None:
            self._dataset.end(status, self._fields.now())

    @_never_raises
    def _connect(self) -> None:
        """Start the session: it reads the settings, and sends what earlier runs left in the spool."""
        self._session = recording_session(self._settings, self._program, pathfixer=self._pathfixer)

    @_never_raises
    def _set_sample(self, sample: Any) -> None:
        if isinstance(self.scicat_data, dict):
            self.scicat_data["sampleId"] = sample
        else:
            self.scicat_data.sampleId = sample


_all: weakref.WeakSet[SciFish] = weakref.WeakSet()

_NO_START = "start_scan was not called, or failed (see the log above)"


def _count(points: Any) -> int | None:
    if points is None:
        return None
    try:
        count = int(points)
    except Exception:  # noqa: BLE001 - any object
        count = -1
    if 0 <= count < 2**63:  # the range of an integer in the spool's database
        return count
    log.error("SciFish.end_scan: points %.80s is not a number of points; none is recorded", plain(points))
    return None


def _status(status: Any) -> str:
    if isinstance(status, str) and status in STATUSES:
        return status
    log.error("SciFish.end_scan: status %r is not one of %s; 'failed' is recorded", plain(status), STATUSES)
    return "failed"
