"""The Tango device that describes a beamline: what is recorded, and where it is sent.

Everything is kept in its device properties, so that jive, the attributes and the macros are
three views of the same thing, and recording goes on while this server is stopped.
"""

from __future__ import annotations

import hashlib
import json
import time

import tango
from tango import AttrWriteType, DevState
from tango.server import Device, attribute, command, device_property, run

from scifish import config
from scifish.settings import Settings, SettingsError, read_settings, settings_from_properties
from scifish.tangodb import TangoDatabase
from tango_servers.answers import Announcer, refusing, sendable
from tango_servers.background import Background

LOOK = 3.0
"""Seconds between looks at the properties: nothing tells a device that jive has changed one."""

LONGEST_LIST = 1000

REMEMBER = 180.0
"""Seconds for which a program's trouble is shown: it repeats each minute what lasts."""


class SciDog(Device):
    """What is recorded at a beamline, and where it is sent.

    Configurations are device properties `Config.<name>`, one entry a line:
    - {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, unit: mA, group: Machine}

    ON: all is well. ALARM: a property has a mistake; the Status says which line, and why.
    What is right in it is recorded all the same. Also ALARM: a program that records says that
    its metadata waits for Kafka, or that its disk is nearly full.
    """

    # All are text here, also numbers: a wrong one must be reported, and not keep the device from starting.
    Beamline = device_property(dtype=str, default_value="", doc="Short name of the beamline: cosaxs")
    ActiveConfig = device_property(
        dtype=str, default_value="", doc="The configuration in use: the <name> of a property Config.<name>"
    )
    AlwaysConfigs = device_property(
        dtype=(str,),
        default_value=("beamline",),
        doc="Configurations that are recorded beside the active one, one a line (default: beamline)",
    )
    PathFixer = device_property(
        dtype=str, default_value="", doc="Device that knows the proposal, the sample and the path: b311a/ctl/sdm-01"
    )
    KafkaBootstrapServers = device_property(
        dtype=str, default_value="", doc="Brokers that the metadata is sent to: host:port, with commas between several"
    )
    Topic = device_property(dtype=str, default_value="", doc="Kafka topic (default: scifish-<beamline>)")
    KafkaConfigFile = device_property(
        dtype=str,
        default_value="",
        doc="File with librdkafka settings that are secret (SASL, TLS); refused if others can read it",
    )
    SpoolDirectory = device_property(
        dtype=str,
        default_value="",
        doc="Where messages are kept until Kafka has them (default: /var/lib/scifish, else in the user's state folder)",
    )
    SpoolLimit = device_property(
        dtype=str,
        default_value="2000",
        doc="Megabytes that may wait on the disk of each program that records (default: 2000)",
    )
    SnapshotTimeout = device_property(
        dtype=str, default_value="3", doc="Seconds after which an attribute is given up (default: 3)"
    )
    MaxArraySize = device_property(
        dtype=str, default_value="64", doc="Longer arrays are summarised: shape, min, max, mean (default: 64)"
    )
    SendProprietary = device_property(
        dtype=str, default_value="false", doc="Whether metadata of proprietary proposals is sent (default: false)"
    )

    PUSHED = (
        *("Beamline", "Configs", "ActiveConfig", "Entries", "Problems"),
        *("Revision", "KafkaBootstrapServers", "Topic"),
    )

    # -------------------------------------------------------------------- life

    def init_device(self) -> None:
        super().init_device()
        self._announcer = Announcer(self, self.PUSHED)
        self._settings = Settings(scidog=self.get_name())
        self._looks = 0
        self._troubles: dict[str, tuple[float, str]] = {}
        self._asked: TangoDatabase | None = None
        self._look()
        self._background = Background(f"{self.get_name()} properties", self._look_in_background, LOOK)
        self._background.start()

    def delete_device(self) -> None:
        self._background.stop()

    def _look_in_background(self) -> None:
        before = self._looks
        settings, trouble = self._read()  # without the monitor: clients are answered meanwhile
        with tango.AutoTangoMonitor(self):
            if self._looks == before:  # else a client has made it look since, and has newer ones
                self._take(settings, trouble)

    def _look(self) -> None:
        self._take(*self._read())

    def _read(self) -> tuple[Settings, str]:
        """The settings, and "" or why they are not those of the database."""
        try:
            if self._asked is None:
                self._asked = TangoDatabase()
            return read_settings(self._asked, self.get_name()), ""
        except SettingsError:  # no property at all: as a device is that was just added
            return settings_from_properties(self.get_name(), {}), ""
        except tango.DevFailed as error:
            reason = str(error.args[0].desc).strip().splitlines()[0]
            return self._settings, f"the Tango database does not answer; what it said last is in use ({reason})"

    def _take(self, settings: Settings, trouble: str) -> None:
        """Make these settings the ones that clients see."""
        self._looks += 1
        entries, mistakes = settings.entries()
        self._settings = settings
        # What clients show as the value that was last written.
        self.get_device_attr().get_w_attr_by_name("ActiveConfig").set_write_value(self.read_ActiveConfig())
        # Escaped, since Tango's strings are Latin-1 and names may be anything.
        self._entries = json.dumps(json.loads(config.entries_as_json(entries)))
        self._revision = hashlib.sha256(self._entries.encode()).hexdigest()[:12]
        self._problems = [sendable(problem) for problem in (*settings.problems, *mistakes)]
        if trouble:
            self._problems.insert(0, sendable(trouble))
        now = time.monotonic()
        self._troubles = {run: said for run, said in self._troubles.items() if now - said[0] < REMEMBER}
        self._problems += sorted(text for _, text in self._troubles.values())
        state = DevState.ALARM if self._problems else DevState.ON
        lines = [f"The device is in {state} state.", *self._problems]
        active = settings.active_config or "none"
        always = ", ".join(settings.always_configs)
        lines.append(f"{len(entries)} attributes are recorded. Active configuration: {active}; always: {always}")
        values = {name: getattr(self, f"read_{name}")() for name in self.PUSHED}
        self._announcer.announce(state, "\n".join(lines), values)

    # -------------------------------------------------------------- attributes
    # Each has the name of the property that it shows; as members of a class the two need names of their own.

    beamline = attribute(name="Beamline", dtype=str, fget="read_Beamline", doc="Short name of the beamline")
    configs = attribute(
        name="Configs", dtype=(str,), max_dim_x=LONGEST_LIST, fget="read_Configs", doc="Names of the configurations"
    )
    active_config = attribute(
        name="ActiveConfig",
        dtype=str,
        access=AttrWriteType.READ_WRITE,
        fget="read_ActiveConfig",
        fset="write_ActiveConfig",
        doc='The configuration in use, "" for none; kept in the property ActiveConfig',
    )
    entries = attribute(
        name="Entries",
        dtype=str,
        fget="read_Entries",
        doc="What is recorded now: a JSON list of {name, source, group, unit, map, record, config}",
    )
    problems = attribute(
        name="Problems",
        dtype=(str,),
        max_dim_x=LONGEST_LIST,
        fget="read_Problems",
        doc="What is wrong in the properties, with the line and why, and in the programs that record",
    )
    revision = attribute(name="Revision", dtype=str, fget="read_Revision", doc="Changes whenever Entries does")
    kafka_bootstrap_servers = attribute(
        name="KafkaBootstrapServers", dtype=str, fget="read_KafkaBootstrapServers", doc="Brokers that are written to"
    )
    topic = attribute(name="Topic", dtype=str, fget="read_Topic", doc="Kafka topic that is written to")

    def read_Beamline(self) -> str:
        return self._settings.beamline

    def read_Configs(self) -> list[str]:
        return [sendable(name) for name in sorted(self._settings.configs)][:LONGEST_LIST]

    def read_ActiveConfig(self) -> str:
        return sendable(self._settings.active_config)

    def write_ActiveConfig(self, name: str) -> None:
        self._look()  # somebody may just have added the configuration in jive
        with refusing("SciDog", UnknownConfig):
            found = self._config_named(name.strip()) if name.strip() else ""
        _database().put_device_property(self.get_name(), {"ActiveConfig": [found]})
        self._look()

    def read_Entries(self) -> str:
        return self._entries

    def read_Problems(self) -> list[str]:
        return self._problems[:LONGEST_LIST]

    def read_Revision(self) -> str:
        return self._revision

    def read_KafkaBootstrapServers(self) -> str:
        return sendable(self._settings.kafka_bootstrap_servers)

    def read_Topic(self) -> str:
        return sendable(self._settings.topic)

    # ---------------------------------------------------------------- commands

    @command
    def Reload(self) -> None:
        """Read the properties now, and not within a few seconds."""
        self._look()

    @command(
        dtype_in=(str,),
        doc_in="Run, program and host, and what is wrong there; an empty text: all is well again",
    )
    def ReportTrouble(self, texts: list[str]) -> None:
        """A program that records says that its metadata waits, or that its disk is nearly full. Shown in Problems."""
        with refusing("SciDog", WrongReport):
            if len(texts) != 3:
                raise WrongReport(f"three texts are needed (run, program and host, trouble), and not {len(texts)}")
        run, who, trouble = texts
        if trouble:
            self._troubles[run] = (time.monotonic(), sendable(f"{who}: {trouble}"))
        else:
            self._troubles.pop(run, None)
        self._look()

    @command(doc_in="Name of a configuration", doc_out="Its lines, as in the property")
    def GetConfig(self, name: str) -> str:
        with refusing("SciDog", UnknownConfig):
            return sendable("\n".join(self._settings.configs[self._config_named(name)]))

    def _config_named(self, name: str) -> str:
        """The name as the property has it; like Tango, whatever the case. Raises UnknownConfig."""
        for found in self._settings.configs:
            if found.lower() == name.lower():
                return found
        known = ", ".join(sorted(self._settings.configs)) or "none"
        raise UnknownConfig(f"there is no configuration {name!r}; there are: {known}")


class UnknownConfig(Exception):
    """There is no configuration of that name."""


class WrongReport(Exception):
    """A report of a program is not of the form that is needed."""


def _database() -> tango.Database:
    """The server's own connection, which it makes again after the database was away."""
    return tango.Util.instance().get_database()


def main() -> None:
    run((SciDog,))


if __name__ == "__main__":
    main()
