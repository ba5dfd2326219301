"""The class `Settings` of a beamline, the names of the properties that it is read from, and its default values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from scifish.settings.entries import Entry, effective_entries, parse_entries

BEAMLINE_NAME = re.compile(r"[A-Za-z0-9._-]{1,48}")
"""A beamline's short name: it is part of the topic's name, so Kafka has to allow it."""


CONFIG_PREFIX = "Config."


PROPERTIES = (
    "Beamline",
    "ActiveConfig",
    "AlwaysConfigs",
    "PathFixer",
    "KafkaBootstrapServers",
    "Topic",
    "KafkaConfigFile",
    "SpoolDirectory",
    "SpoolLimit",
    "KeepSentDays",
    "SnapshotTimeout",
    "MaxArraySize",
    "SendProprietary",
    "SendWithoutProposal",
    "RememberProposalDays",
)
"""The properties of SciDog, apart from its configurations `Config.<name>`."""


DEFAULT_ALWAYS = ("beamline",)


DEVICE_NAME = re.compile(r"(tango://[^/\s]+:\d+/)?[^/\s:]+/[^/\s]+/[^/\s]+")
"""A device's name."""


class SettingsError(Exception):
    """The settings cannot be read or used; the text says what to do."""


@dataclass(frozen=True)
class Settings:
    """The settings of a SciDog or a YAML file, see docs/reference/scidog.md. Times in seconds, `keep_sent_days` and
    `remember_proposal_days` in days, `spool_limit` in MB.

    `problems` are sentences about wrong properties, whose defaults are in use; `replaced` about wrong configurations,
    whose last good versions are in use (`scifish.settings.fallback`).
    """

    scidog: str = ""
    file: str = ""
    beamline: str = ""
    configs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    active_config: str = ""
    always_configs: tuple[str, ...] = DEFAULT_ALWAYS
    path_fixer: str = ""
    kafka_bootstrap_servers: str = ""
    topic: str = ""
    kafka_config_file: str = ""
    spool_directory: str = ""
    spool_limit: int = 2000
    keep_sent_days: float = 7.0
    snapshot_timeout: float = 3.0
    max_array_size: int = 64
    send_proprietary: bool = False
    send_without_proposal: bool = False
    remember_proposal_days: float = 7.0
    problems: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The name of the SciDog or of the file, for messages to a person."""
        return self.scidog or self.file or "the settings"

    def entries(self) -> tuple[list[Entry], list[str]]:
        """The entries that are recorded now, and a sentence for each problem in the configurations."""
        always = [
            name
            for name in self.always_configs
            # The default configuration need not exist; a name that somebody wrote must.
            if self.always_configs != DEFAULT_ALWAYS or name.lower() in map(str.lower, self.configs)
        ]
        entries, mistakes = effective_entries(self.configs, always, self.active_config)
        problems = [*self.replaced, *mistakes]
        active = [name for name in self.configs if name.lower() == self.active_config.lower()]
        if active and parse_entries(self.configs[active[0]]) == ([], []):
            problems.append(
                f"{active[0]}: it is the active configuration and has no entry, so nothing of it is recorded; "
                "write entries into it, or make another one active, or none"
            )
        elif not entries and not problems and self.configs:
            problems.append("ActiveConfig is empty: no attribute is recorded; set it to one of the configurations")
        elif self.scidog and not self.configs and not problems:  # a file or a program may record no attributes
            problems.append(
                f"{self.scidog} has no configuration (a property Config.<name>), so no attribute is recorded: "
                "write one; if it is not the beamline's SciDog, name the right device in SCIDOG_DEVICE"
            )
        return entries, problems


def settings_of(kept: Mapping[str, Any]) -> Settings:
    """Settings from the JSON form of `asdict`. TypeError or KeyError if another version has written them."""
    return Settings(
        **{
            **kept,
            "configs": {name: tuple(lines) for name, lines in kept["configs"].items()},
            "always_configs": tuple(kept["always_configs"]),
            "problems": tuple(kept["problems"]),
            "replaced": tuple(kept.get("replaced", ())),
        }
    )
