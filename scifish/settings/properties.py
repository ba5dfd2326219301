"""Reads settings from the device properties of SciDog, and finds the SciDog device in the Tango database."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from scifish.settings.model import (
    BEAMLINE_NAME,
    CONFIG_PREFIX,
    DEFAULT_ALWAYS,
    DEVICE_NAME,
    PROPERTIES,
    Settings,
    SettingsError,
)
from scifish.settings.paths import expanded

TOPIC_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}")
"""The names that Kafka allows. A message keeps its topic: with any other name it would never leave the spool."""


_BROKER = re.compile(r"(?:[a-zA-Z_]+://)?(?:\[[0-9a-fA-F:.]+\]|[^\s/:\[\],]+):(\d{1,5})")


class PropertySource(Protocol):
    """The part of `scifish.tango_io.database.TangoDatabase` that settings need."""

    def devices_of_class(self, device_class: str) -> list[str]: ...

    def properties(self, device: str) -> dict[str, list[str]]: ...


def settings_from_properties(device: str, properties: Mapping[str, Sequence[str]]) -> Settings:
    """Settings from a device's properties; the case of names does not matter, as in Tango."""
    by_name = {name.lower(): (name, list(lines)) for name, lines in properties.items()}
    problems: list[str] = []

    def text(name: str) -> str:
        lines = by_name.get(name.lower(), (name, []))[1]
        if any(line.strip() for line in lines[1:]):
            problems.append(f"{name}: it has {len(lines)} lines; only the first is in use, {lines[0].strip()!r}")
        return lines[0].strip() if lines else ""

    def number(name: str, default: float, lowest: float, highest: float) -> float:
        given = text(name)
        try:
            found = float(given) if given else default
            if lowest <= found <= highest:
                return found
        except ValueError:
            pass  # reported below, as a number out of bounds
        problems.append(f"{name}: {given!r} is not a number from {lowest:g} to {highest:g}; {default:g} is in use")
        return default

    def flag(name: str) -> bool:
        given = text(name).lower()
        if given not in ("", "true", "false", "1", "0", "yes", "no"):
            problems.append(f"{name}: {given!r} is neither true nor false; false is in use")
        return given in ("true", "1", "yes")

    beamline = text("Beamline")
    if not BEAMLINE_NAME.fullmatch(beamline):
        problems.append(f"Beamline: {beamline!r} is not a short name of letters, digits, '.', '_' and '-'")
        beamline = re.sub(r"[^A-Za-z0-9._-]", "-", beamline)[:48] or "unknown"
    topic = _topic(text("Topic"), f"scifish-{beamline}", problems)
    brokers = text("KafkaBootstrapServers")
    if wrong := _wrong_brokers(brokers):
        problems.append(
            f"KafkaBootstrapServers: {wrong!r} is not of the form host:port; several have commas between them"
        )
    path_fixer = text("PathFixer")
    if path_fixer and not DEVICE_NAME.fullmatch(path_fixer):
        problems.append(f"PathFixer: {path_fixer!r} is not the name of a device, such as b311a/ctl/sdm-01")
    spool = text("SpoolDirectory")
    if spool and not expanded(spool).is_absolute():
        problems.append(f"SpoolDirectory: {spool!r} is not the full path of a folder; the default is in use")
        spool = ""
    problems += nearly_known([name for name, _ in by_name.values()], PROPERTIES, CONFIG_PREFIX)
    always = tuple(line.strip() for line in by_name.get("alwaysconfigs", ("", []))[1] if line.strip())
    return Settings(
        scidog=device,
        beamline=beamline,
        configs={
            name[len(CONFIG_PREFIX) :]: tuple(lines)
            for name, lines in by_name.values()
            if name.lower().startswith(CONFIG_PREFIX.lower()) and len(name) > len(CONFIG_PREFIX)
        },
        active_config=text("ActiveConfig"),
        always_configs=always or DEFAULT_ALWAYS,
        path_fixer=path_fixer,
        kafka_bootstrap_servers=brokers,
        topic=topic,
        kafka_config_file=text("KafkaConfigFile"),
        spool_directory=spool,
        spool_limit=int(number("SpoolLimit", 2000, 1, 1_000_000)),
        keep_sent_days=number("KeepSentDays", 7.0, 0.0, 366.0),
        snapshot_timeout=number("SnapshotTimeout", 3.0, 0.05, 60.0),
        max_array_size=int(number("MaxArraySize", 64, 1, 10_000)),
        send_proprietary=flag("SendProprietary"),
        send_without_proposal=flag("SendWithoutProposal"),
        remember_proposal_days=number("RememberProposalDays", 7.0, 0.0, 366.0),
        problems=tuple(problems),
    )


def _topic(given: str, default: str, problems: list[str]) -> str:
    if given and not TOPIC_NAME.fullmatch(given):
        problems.append(
            f"Topic: {given!r} is not a name of letters, digits, '.', '_' and '-' as Kafka allows; {default} is in use"
        )
        return default
    return given or default


def _wrong_brokers(given: str) -> str:
    """The first broker that is not of the form host:port; "" if there is none."""
    for broker in filter(str.strip, given.split(",")):
        found = _BROKER.fullmatch(broker.strip())
        if not found or not 0 < int(found.group(1)) < 65536:
            return broker.strip()
    return ""


def nearly_known(names: Iterable[str], properties: Iterable[str], prefix: str = "") -> list[str]:
    """A sentence for each name that is probably a typing error. Other unknown names may be Tango's own properties.

    `properties` are the names that the device knows; any name after `prefix` is known too.
    """
    known = {name.lower(): name for name in properties}
    begin = prefix.lower()
    problems = []
    for name in names:
        stem, dot, rest = name.lower().partition(".")
        if name.lower() in known or (prefix and stem + dot == begin and rest):
            continue
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
        # Cfg.x, Confg.x, Konfig.x: other properties rarely have a dot in their names.
        whole = begin.rstrip(".")
        almost = prefix and (stem.startswith(whole) or (dot and difflib.get_close_matches(stem, [whole], cutoff=0.6)))
        meant = known[near[0]] if near else f"{prefix}<name>" if almost else ""
        if meant:
            problems.append(f"{name}: a property of this name is not known and is ignored; did you mean {meant}?")
    return problems


def find_scidog(db: PropertySource) -> str:
    """The name of the beamline's SciDog: `SCIDOG_DEVICE`, else the only device of the class SciDog in the database.

    Raises `tango.DevFailed`, and SettingsError if there is none or more than one.
    """
    named = os.environ.get("SCIDOG_DEVICE", "").strip()
    if named:
        return named
    found = db.devices_of_class("SciDog")
    if len(found) == 1:
        return found[0]
    if not found:
        raise SettingsError("there is no device of the class SciDog in the Tango database: add one (see README)")
    raise SettingsError(f"there are several SciDog devices ({', '.join(found)}): set SCIDOG_DEVICE to one of them")


def read_properties(db: PropertySource, device: str) -> dict[str, list[str]]:
    """All properties of the device. Raises `tango.DevFailed`, and SettingsError if it has none."""
    found = db.properties(device)
    if not found:
        raise SettingsError(f"the device {device} has no properties in the Tango database: is its name right?")
    return found


def read_settings(db: PropertySource, device: str) -> Settings:
    """The settings in the Tango database; the SciDog server need not run. Raises as `read_properties`."""
    return settings_from_properties(device, read_properties(db, device))
