"""librdkafka's settings, with its secrets in a file that only its owner can read."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from scifish.settings import Settings, SettingsError


def producer_config(settings: Settings) -> dict[str, str | int | bool]:
    """The settings of a producer. Raises SettingsError, whose text names the file and the line."""
    if not settings.kafka_bootstrap_servers and not settings.kafka_config_file:
        how = ": set it in jive" if settings.scidog else ""
        raise SettingsError(f"KafkaBootstrapServers of {settings.where} is empty{how}")
    config: dict[str, str | int | bool] = {
        "client.id": f"scifish-{settings.beamline}",
        # No gap and no copy within one producer; across restarts the dataset's uuid does the same.
        "enable.idempotence": True,
        # After this the message comes back to the spool and is tried again from there.
        "message.timeout.ms": 30_000,
        "linger.ms": 5,
        # What is not confirmed is on disk: librdkafka need not have all of it in memory.
        "queue.buffering.max.kbytes": 65_536,
        # It would say several times a second that a broker is away; `Sender` says it once.
        "log_level": 2,
    }
    if settings.kafka_bootstrap_servers:
        config["bootstrap.servers"] = settings.kafka_bootstrap_servers
    if settings.kafka_config_file:
        config |= read_config_file(Path(settings.kafka_config_file))
    return config


def read_config_file(path: Path) -> dict[str, str]:
    """`name=value` lines, as of Kafka's own client.properties; `#` begins a comment line."""
    try:
        with path.open(encoding="utf-8") as file:
            # Asked of the open file, so that it cannot be exchanged in between.
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise SettingsError(f"{path} can be read by others, and is not used: chmod 600 {path}")
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"KafkaConfigFile {path} cannot be read: {error}") from error
    config = {}
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals:
            raise SettingsError(f"{path}, line {number}: not of the form name=value")  # the line may be a secret
        config[name.strip()] = value.strip()
    return config
