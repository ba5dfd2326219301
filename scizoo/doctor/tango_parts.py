"""The parts that are in the control system: the database, SciDog, PathFixer, Sardana, and a snapshot."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tango

from scifish.attributes.reader import Reader
from scifish.configurations import check
from scifish.settings import Settings, SettingsError, devices, load_last_good
from scifish.settings.sources import CONFIG_VARIABLE, FileSettings
from scifish.tango_io.database import TangoDatabase, reason
from scizoo.doctor.report import NOT_CHECKED, OK, WRONG, PartReport
from scizoo.sardana_folders import FoldersNotFound, sardana_folders
from tango_servers.common.background import call_all
from tango_servers.pathfixer.sardana_environment import decode_variable

MAX_LISTED = 5
"""Attributes that are listed in the text; `facts` have all."""

DATABASE, SCIDOG = "Tango database", "SciDog"

SEE_DATABASE, SEE_SCIDOG = f"see {DATABASE}", f"see {SCIDOG}"

RECORDER = "SciFishRecorder"

MACRO = "scisnap"
"""The macro by which a MacroServer shows that it has ours."""


@dataclass(frozen=True)
class FoundSettings:
    """The settings of the beamline: those of a file, or of SciDog's properties, else the last good ones on disk.

    `tango` says whether the Tango database answers. `trouble` is the report of the part SciDog if the present settings
    are not known, else None.
    """

    database: PartReport
    settings: Settings | None
    tango: bool
    trouble: PartReport | None = None


def tango_host() -> str:
    """As TANGO_HOST or the file tangorc says; "" if neither does."""
    found = tango.ApiUtil.get_env_var("TANGO_HOST")
    return str(found) if isinstance(found, str) else ""


def find_settings(timeout: float, has_beamline: bool) -> FoundSettings:
    """Within `timeout` seconds for the database, and as many for the settings in it.

    `has_beamline` is false where none need be, as on the machine of SciCow. Writes nothing, unlike the programs that
    record.
    """
    (database,) = call_all([functools.partial(_database, has_beamline)], timeout)
    if isinstance(database, Exception):
        text = f"TANGO_HOST={tango_host()}: no answer within {timeout:g} s"
        database = PartReport(DATABASE, WRONG, text, "The server of the database hangs, or its machine: restart it.")
    call = functools.partial(_settings, database)
    (found,) = call_all([call], timeout)
    if isinstance(found, Exception):
        why = f"no answer within {timeout:g} s" if isinstance(found, TimeoutError) else f"internal error: {found!r}"
        trouble = PartReport(SCIDOG, WRONG, why, "See the part above, and try again.")
        return FoundSettings(database, None, database.state == OK, trouble)
    return found


def _database(has_beamline: bool) -> PartReport:
    host = tango_host()
    if not host:
        needed = has_beamline and not os.environ.get(CONFIG_VARIABLE, "").strip()
        advice = f"Set TANGO_HOST=host:port, or {CONFIG_VARIABLE} for a machine without a Tango database."
        return PartReport(DATABASE, WRONG if needed else NOT_CHECKED, "TANGO_HOST is not set", advice)
    try:
        TangoDatabase()
    except tango.DevFailed as failed:
        text = f"nothing answers at TANGO_HOST={host} ({reason(failed)})"
        advice = "Check TANGO_HOST of this account, and that the server of the database (Databaseds) is running there."
        return PartReport(DATABASE, WRONG, text, advice)
    return PartReport(DATABASE, OK, f"{host} answers", facts={"host": host})


def _settings(database: PartReport) -> FoundSettings:
    there = database.state == OK
    file = os.environ.get(CONFIG_VARIABLE, "").strip()
    if file:
        try:
            return FoundSettings(database, FileSettings(Path(file)).known(), there)
        except SettingsError as error:
            trouble = PartReport(SCIDOG, WRONG, str(error), f"Correct this file ({CONFIG_VARIABLE}).")
            return FoundSettings(database, None, there, trouble)
    if there:
        try:
            return FoundSettings(database, devices.used_now(devices.read_now()), there)
        except devices.NotReachable as error:
            trouble = PartReport(SCIDOG, WRONG, str(error), "jive shows which SciDog devices there are.")
            return FoundSettings(database, None, there, trouble)
    kept = load_last_good()
    used = f"Programs of this account record with the last good settings of {kept.scidog}." if kept else ""
    return FoundSettings(database, kept, there, PartReport(SCIDOG, NOT_CHECKED, SEE_DATABASE, used))


# ------------------------------------------------------------------------------- SciDog


def scidog(found: FoundSettings) -> Sequence[PartReport]:
    """Its properties, and what its device reports of the programs that record."""
    settings = found.settings
    if found.trouble is not None or settings is None:
        return [found.trouble or PartReport(SCIDOG, NOT_CHECKED, SEE_DATABASE)]
    entries, problems = settings.entries()
    problems = [*settings.problems, *problems]
    facts = {"where": settings.where, "beamline": settings.beamline, "entries": len(entries), "problems": problems}
    text = (
        f"{settings.where}: beamline {settings.beamline}, {len(entries)} attributes are recorded, active "
        f"configuration: {settings.active_config or 'none'}"
    )
    if settings.scidog:
        try:
            # What programs report is in Problems, too.
            problems = list(devices.scidog(settings).read("Problems"))
        except devices.NotReachable as error:
            advice = "Start its server. Recording works without it, but the reports of programs are not shown."
            return [PartReport(SCIDOG, WRONG, "\n".join([str(error), *problems]), advice, facts)]
    if problems:
        advice = f"Correct the properties of {settings.where} (in jive); a report of a program: see its own part."
        return [PartReport(SCIDOG, WRONG, "\n".join([text, *problems]), advice, {**facts, "problems": problems})]
    return [PartReport(SCIDOG, OK, text, facts=facts)]


# ---------------------------------------------------------------- PathFixer and Sardana


def pathfixer(found: FoundSettings) -> Sequence[PartReport]:
    """PathFixer, the consumers of its path, and the MacroServers among them."""
    settings = found.settings
    if settings is None or not found.tango:
        why = SEE_SCIDOG if found.tango else SEE_DATABASE
        return [PartReport(part, NOT_CHECKED, why) for part in ("PathFixer", "Path consumers", "Sardana")]
    described, first = _described(settings)
    if described is None:
        return [first, PartReport("Path consumers", NOT_CHECKED, "see PathFixer"), *_sardana([])]
    consumers = described["consumers"]
    servers = [one["device"] for one in consumers if _is_macroserver(one["device"])]
    return [first, _path_consumers(settings, consumers), *_sardana(servers)]


def _described(settings: Settings) -> tuple[Any, PartReport]:
    """What PathFixer has in use, None if it does not say, and the report."""
    try:
        device = devices.pathfixer(settings)
        described = json.loads(device.command("Describe"))
    except (devices.NotReachable, devices.Refused) as error:
        advice = "Start its server (jive or Astor). Until then datasets have the proposal and path that it had last."
        if not settings.path_fixer:
            advice = "Without PathFixer no dataset has a proposal and a path."
        return None, PartReport("PathFixer", WRONG, str(error), advice)
    facts = {name: described[name] for name in ("state", "proposal", "visit", "sample", "path", "problems")}
    text = f"{settings.path_fixer} is in {described['state']}"
    if described["state"] in ("FAULT", "ALARM"):
        advice = "docs/reference/pathfixer.md explains what to do about each sentence."
        return described, PartReport("PathFixer", WRONG, "\n".join([text, *described["problems"]]), advice, facts)
    if not described["proposal"]:
        return described, PartReport(
            "PathFixer", OK, f"{text}; no proposal is set", "setproposal NUMBER (at spock)", facts
        )
    text += f"; proposal {described['proposal']}, path {described['sample_path'] or described['path']}"
    return described, PartReport("PathFixer", OK, text, facts=facts)


def _path_consumers(settings: Settings, consumers: Sequence[dict[str, str]]) -> PartReport:
    facts = {"consumers": list(consumers)}
    if not consumers:
        servers = TangoDatabase().devices_of_class("MacroServer") or ["macroserver/<beamline>/1"]
        lines = [f"{{device: {server}, environment: ScanDir}}" for server in servers[:MAX_LISTED]]
        advice = "\n".join(
            [
                f"Write the property PathConsumers of {settings.path_fixer} (in jive), then run its command Init:",
                *lines,
            ]
        )
        return PartReport("Path consumers", WRONG, "none: no device gets the path, not even Sardana", advice, facts)
    wrong = [one for one in consumers if one["state"] in ("refused", "other")]
    if wrong:
        lines = [f"{one['device']}, {one['target']}: {one['state']}: {one['detail']}" for one in wrong]
        advice = f"See these devices; TurnOn of {settings.path_fixer} gives them the path again."
        return PartReport("Path consumers", WRONG, "\n".join(lines), advice, facts)
    text = ", ".join(f"{one['device']} ({one['target']}): {one['state']}" for one in consumers)
    return PartReport("Path consumers", OK, text, facts=facts)


def _is_macroserver(device: str) -> bool:
    try:
        return device.lower() in map(str.lower, TangoDatabase().devices_of_class("MacroServer"))
    except tango.DevFailed:
        return False


def _sardana(servers: Sequence[str]) -> list[PartReport]:
    """Whether these MacroServers record; without any, the only one of the Tango database."""
    names = list(servers) or TangoDatabase().devices_of_class("MacroServer")
    if not names:
        return [PartReport("Sardana", NOT_CHECKED, "there is no MacroServer in the Tango database")]
    if len(names) > 1 and not servers:
        text = f"PathConsumers names none of the {len(names)} MacroServers of the Tango database"
        return [PartReport("Sardana", NOT_CHECKED, text, "See Path consumers.")]
    found = [_macroserver(name) for name in names]
    wrong = [each for each in found if each.state == WRONG]
    return [wrong[0] if wrong else found[0]]


def _macroserver(name: str) -> PartReport:
    try:
        device = devices.PartDevice("MacroServer", name)
        macros, recorders = device.read("MacroList"), device.read("RecorderList")
        variable = decode_variable(device.read("Environment"), "DataRecorder")
    except devices.NotReachable as error:
        return PartReport("Sardana", WRONG, str(error), "Start the MacroServer, or see why it hangs.")
    except ValueError as error:
        return PartReport("Sardana", NOT_CHECKED, f"{name}: {error}")
    missing = [
        name for name, there in (("RecorderPath", RECORDER in recorders), ("MacroPath", MACRO in macros)) if not there
    ]
    facts = {"macroserver": name, "missing": missing, "DataRecorder": repr(variable)}
    if missing:
        advice = "\n".join([f"Add to the properties of {name}, and restart it:", *map(_folder_line, missing)])
        what = " and ".join(
            {"RecorderPath": f"the recorder {RECORDER}", "MacroPath": "the macros"}[one] for one in missing
        )
        return PartReport("Sardana", WRONG, f"{name} has not loaded {what}", advice, facts)
    used = [variable] if isinstance(variable, str) else list(variable or ())
    if RECORDER not in used:
        advice = f"""senv DataRecorder "{[*used, RECORDER]}" (at spock)"""
        return PartReport("Sardana", WRONG, f"{name}: DataRecorder does not name {RECORDER}", advice, facts)
    return PartReport("Sardana", OK, f"{name} records with {RECORDER}, and has the macros", facts=facts)


def _folder_line(name: str) -> str:
    try:
        return f"{name}: {sardana_folders()[name]} (as on this machine)"
    except FoldersNotFound:
        return f"{name}: what `scizoo paths` prints on its machine"


# ----------------------------------------------------------------------------- snapshot


def snapshot(found: FoundSettings) -> Sequence[PartReport]:
    """All attributes are read once, as `scidog_check` does; nothing is recorded."""
    if found.settings is None or not found.tango:
        return [PartReport("Snapshot", NOT_CHECKED, SEE_SCIDOG if found.tango else SEE_DATABASE)]
    entries, _ = found.settings.entries()
    if not entries:
        return [PartReport("Snapshot", OK, "no attribute is configured")]
    reader = Reader()
    try:
        reads = check.read(entries, reader, found.settings.snapshot_timeout)
        findings = check.report(check.check(reads, devices.is_defined), reads)
    finally:
        reader.close()
    facts = {**findings, "failed": [[entry.group, entry.name, entry.source, why] for entry, why in reads.failed]}
    there = len(entries) - len(reads.failed)
    text = f"{there} of {len(entries)} attributes can be read from this machine, in {reads.seconds:.2f} s"
    if not reads.failed:
        doubts = sum(each["level"] != check.NOTE for each in findings["findings"])
        more = f"; scidog_check (at spock) shows {doubts} doubtful entries" if doubts else ""
        return [PartReport("Snapshot", OK, text + more, facts=facts)]
    lines = [f"{entry.source}: {why}" for entry, why in reads.failed[:MAX_LISTED]]
    if len(reads.failed) > MAX_LISTED:
        lines.append(f"and {len(reads.failed) - MAX_LISTED} more")
    advice = "Start these devices, or take the entries out of the configuration; scidog_check (at spock) shows all."
    return [PartReport("Snapshot", WRONG, "\n".join([text, *lines]), advice, facts)]
