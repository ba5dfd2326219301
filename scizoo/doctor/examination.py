"""Checks all parts of a beamline in parallel, each within a bounded time."""

from __future__ import annotations

import functools
import getpass
import os
import platform
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import tango

from scifish.message import iso
from scifish.tango_io.database import reason
from scizoo.doctor import ingest_parts, kafka_parts, spool_part, tango_parts
from scizoo.doctor.report import WRONG, BeamlineReport, PartReport
from scizoo.doctor.secrets import secrets_of
from scizoo.sardana_folders import DISTRIBUTION
from tango_servers.common.background import call_all

REPORTED_DISTRIBUTIONS = (DISTRIBUTION, "pytango", "sardana", "taurus", "confluent-kafka")
"""Distributions whose versions a supporter needs to know."""


NO_SECRETS = "not shown: the files that have passwords could not be read, so a text might have one ({!r})"


@dataclass(frozen=True)
class Check:
    """Makes the reports of these parts, in this order."""

    parts: Sequence[str]
    call: Callable[[], Sequence[PartReport]]


def examine(timeout: float, scicow: Path | None) -> BeamlineReport:
    """`timeout` is in seconds: for the settings, then for all other parts, which are checked in parallel.

    `scicow` is the file of SciCow's settings; None if there is none here. Never raises. A check that hangs is left
    behind in its thread.
    """
    found = tango_parts.find_settings(timeout, has_beamline=scicow is None)
    checks = [
        Check(("SciDog",), functools.partial(tango_parts.scidog, found)),
        Check(("PathFixer", "Path consumers", "Sardana"), functools.partial(tango_parts.pathfixer, found)),
        Check(("Snapshot",), functools.partial(tango_parts.snapshot, found)),
        Check(("Spool",), functools.partial(spool_part.spool, found.settings)),
        Check(("Kafka", "Topic"), functools.partial(kafka_parts.kafka, found.settings, timeout)),
        Check(ingest_parts.PARTS, functools.partial(ingest_parts.scicow, scicow, timeout)),
    ]
    parts = [found.database]
    calls: list[Callable[[], Any]] = [functools.partial(secrets_of, found.settings, scicow)]
    secrets, *answers = call_all([*calls, *(check.call for check in checks)], timeout)
    for check, answer in zip(checks, answers, strict=True):
        if isinstance(answer, Exception):
            parts += [_failed(part, answer, timeout) for part in check.parts]
        else:
            parts += answer
    if isinstance(secrets, Exception):  # the texts may have secrets that are not known here
        parts = [PartReport(part.part, part.state, NO_SECRETS.format(secrets)) for part in parts]
        secrets = ()
    return BeamlineReport(_about(), tuple(parts), tuple(secrets))


def _failed(part: str, error: Exception, timeout: float) -> PartReport:
    if isinstance(error, TimeoutError):
        return PartReport(
            part, WRONG, f"no answer within {timeout:g} s", "See whether it hangs; try again with a longer --timeout."
        )
    if isinstance(error, tango.DevFailed):
        return PartReport(part, WRONG, reason(error), "See Tango database.")
    return PartReport(part, WRONG, f"internal error: {error!r}", "Please report it.")


def _about() -> dict[str, str]:
    return {
        "host": socket.gethostname(),
        "account": _account(),
        "time": iso(time.time()),
        "TANGO_HOST": tango_parts.tango_host() or "not set",
        **({"SCIDOG_DEVICE": os.environ["SCIDOG_DEVICE"]} if os.environ.get("SCIDOG_DEVICE") else {}),
        "python": platform.python_version(),
        **{name: _version(name) for name in REPORTED_DISTRIBUTIONS},
    }


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in a container
        return str(os.getuid())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
