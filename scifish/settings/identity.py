"""Under which settings a spool was recorded: whoever finds it must not send it elsewhere, or more of it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import tango

from scifish.settings.model import Settings

OWN_SETTINGS = ""
"""The source of settings that a program passes itself: they have no name by which another program could know them."""


@dataclass(frozen=True)
class Identity:
    """The source of settings, and those of them that say where messages go and which may leave the machine.

    `source` is a file's path, `tango://host:port/` with the SciDog's name if it is known, or `OWN_SETTINGS`.
    `path_fixer` is None if the settings are not known, or if an older version has written this. `chosen_path_fixer`:
    the program has named it in place of the one of its settings.
    """

    source: str
    beamline: str = ""
    topic: str = ""
    kafka_bootstrap_servers: str = ""
    kafka_config_file: str = ""
    send_proprietary: bool = False
    path_fixer: str | None = None
    chosen_path_fixer: bool = False
    send_without_proposal: bool = False

    @staticmethod
    def of(source: str, settings: Settings | None) -> Identity:
        """Of a source and its settings, which are None as long as they are not known."""
        if settings is None:
            return Identity(source)
        return Identity(
            source,
            settings.beamline,
            settings.topic,
            settings.kafka_bootstrap_servers,
            settings.kafka_config_file,
            settings.send_proprietary,
            settings.path_fixer,
            send_without_proposal=settings.send_without_proposal,
        )

    def may_send(self, other: Identity) -> bool:
        """Whether a program of this identity may finish and send what was recorded under the other one.

        From the same source it may, with the settings of today: a corrected address must be used.
        """
        if other.source != OWN_SETTINGS:
            same = self.source == other.source
            # Its program was gone before it knew which SciDog of this Tango database is its own.
            if same or (other.source.endswith("/") and self.source.startswith(other.source)):
                return True
        # The source of a program that knew no settings yet is all that is known of them.
        return bool(other.beamline) and self._place == other._place

    def finished_with(self, source: str, settings: Settings) -> Settings:
        """The settings to finish what was recorded under this identity, in a program that `may_send` it.

        Whose a dataset is only the PathFixer knows that its program asked: others may have another one.
        """
        corrected = source == self.source != OWN_SETTINGS and not self.chosen_path_fixer
        if self.path_fixer is None or corrected:
            return settings
        return replace(settings, path_fixer=self.path_fixer, send_without_proposal=self.send_without_proposal)

    @property
    def _place(self) -> tuple[str, str, frozenset[str], str, bool]:
        brokers = frozenset(filter(None, map(str.strip, self.kafka_bootstrap_servers.split(","))))
        return self.beamline, self.topic, brokers, self.kafka_config_file, self.send_proprietary

    def __str__(self) -> str:
        settings = {
            "Beamline": self.beamline,
            "Topic": self.topic,
            "KafkaBootstrapServers": self.kafka_bootstrap_servers,
            "KafkaConfigFile": self.kafka_config_file,
            "SendProprietary": str(self.send_proprietary).lower(),
        }
        given = ", ".join(f"{name}: {value}" for name, value in settings.items() if value)
        return f"the settings of {self.source or 'a program'} ({given if self.beamline else 'not known yet'})"

    def how_to_send(self, folder: object) -> str:
        """What a person does to send a spool of this identity from `folder`."""
        if self.source.startswith("tango://"):
            host, _, device = self.source.removeprefix("tango://").partition("/")
            named = f"TANGO_HOST={host} SCIDOG_DEVICE={device}".removesuffix(" SCIDOG_DEVICE=")
        elif self.source:
            named = f"SCIFISH_CONFIG={self.source}"
        else:
            named = "write these settings into a YAML file, and run: SCIFISH_CONFIG=<file>"
        return f"{named} scifish --spool {folder} flush"


def tango_source(scidog: str) -> str:
    """The source that is a SciDog ("" if it is not known) of the Tango database of this process."""
    if scidog.startswith("tango://"):
        return scidog.lower()
    host = os.environ.get("TANGO_HOST") or tango.ApiUtil.get_env_var("TANGO_HOST") or ""
    return f"tango://{host}/{scidog}".lower()
