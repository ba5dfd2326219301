"""SciCow and SciCat, by what `scicow status` checks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scizoo.doctor.report import NOT_CHECKED, OK, WRONG, PartReport

PARTS = ("SciCow", "SciCow's replica", "Dead letters", "SciCat", "User office")

BY_CHECK = {"Kafka": "SciCow", "Replica": "SciCow's replica"}
"""Parts that have other names in `scicow status`: there, Kafka means SciCow's group."""

MAX_LAG_SECONDS = 300.0
"""The same as for `scicow status`: an older message that is not done is reported."""

CHECKUP_ANSWERS = 4
"""`checkup` ends after this number of its time-outs, which are for one question each."""

HOW_TO_CHECK = (
    "Run it where SciCow runs: scizoo doctor --scicow /etc/scizoo/scicow.yaml (the settings of SciCow, with the "
    "environment that it is started with)."
)


def scicow(file: Path | None, timeout: float) -> Sequence[PartReport]:
    """The parts of `PARTS`; `timeout` is in seconds for all. Without settings they are not checked."""
    if file is None:
        return [PartReport("SciCow", NOT_CHECKED, "SciCow and SciCat are not checked: no settings here", HOW_TO_CHECK)]
    try:
        # The packages of the extra `ingest` need not be on the machine of the MacroServer.
        from ingest.scicow.monitoring.checkup import checkup
        from ingest.scicow.settings import SciCowSettingsError, load
    except ImportError as error:
        text = f"SciCow and SciCat are not checked: {error}"
        return [PartReport("SciCow", NOT_CHECKED, text, "Install the extra `ingest`, or run it where SciCow runs.")]
    try:
        found = checkup(load(file), timeout / (CHECKUP_ANSWERS + 1), MAX_LAG_SECONDS)
    except SciCowSettingsError as error:
        return [_settings_error(file, str(error))]
    reports = {
        part: PartReport(part, OK if each.ok else WRONG, each.text, facts=each.facts)
        for each in found
        for part in [BY_CHECK.get(each.part, each.part)]
    }
    known = [reports.pop(part) for part in PARTS if part in reports]
    return [*known, *reports.values()]


def _settings_error(file: Path, error: str) -> PartReport:
    try:
        file.open("rb").close()
    except PermissionError:
        return PartReport("SciCow", NOT_CHECKED, error, "Run it as an account that may read this file.")
    except OSError:
        pass  # the error says so
    if all("environment variable" in line for line in error.splitlines()):
        advice = "Set what SciCow is started with, for example: set -a; . /etc/scizoo/scicow.env"
        return PartReport("SciCow", NOT_CHECKED, error, advice)
    return PartReport("SciCow", WRONG, error, "Correct the file: SciCow does not start with it.")
