"""The configuration of the Kafka producer; its secrets are in a file that only the owner may read."""

from __future__ import annotations

import os
import re
import resource
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from scifish.settings import Settings, SettingsError

T = TypeVar("T")


def make_client(kind: Callable[[dict[str, Any]], T], config: dict[str, Any], settings: Settings) -> T:
    """A client of this kind, with the `producer_config` of the settings.

    SettingsError, with the file and the property, if Kafka's client library refuses it.
    """
    try:
        return kind(config)
    except (KafkaException, TypeError, ValueError) as error:
        said = error.args[0].str() if isinstance(error.args[0], KafkaError) else str(error)
        said = re.sub(r'value ".*" for', "value for", said, flags=re.DOTALL)  # it may be a password in the wrong line
        file = settings.kafka_config_file
        where = f"KafkaConfigFile {file}" if file else f"KafkaBootstrapServers of {settings.where}"
        raise SettingsError(f"Kafka's client cannot be made with {where}: {said}") from error


def producer_config(settings: Settings) -> dict[str, str | int | bool]:
    """The configuration for librdkafka. Raises SettingsError, whose text names the file and the line."""
    if not settings.kafka_bootstrap_servers and not settings.kafka_config_file:
        how = ": set it in jive" if settings.scidog else ""
        raise SettingsError(f"KafkaBootstrapServers of {settings.where} is empty{how}")
    config: dict[str, str | int | bool] = {
        "client.id": f"scifish-{settings.beamline}",
        # No gap and no duplicate within one producer; across restarts the dataset's uuid has the same effect.
        "enable.idempotence": True,
        # After this time the message is retried from the spool.
        "message.timeout.ms": 30_000,
        "linger.ms": 5,
        # Unconfirmed messages are on disk: librdkafka need not keep many in memory.
        "queue.buffering.max.kbytes": 65_536,
        # librdkafka would log a missing broker several times a second; `Sender` logs it once.
        "log_level": 2,
    }
    if settings.kafka_bootstrap_servers:
        config["bootstrap.servers"] = settings.kafka_bootstrap_servers
    if settings.kafka_config_file:
        config |= read_config_file(Path(settings.kafka_config_file))
    return config


def read_config_file(path: Path) -> dict[str, str]:
    """`name=value` lines as in Kafka's client.properties; `#` starts a comment line.

    From then on a crash of this process leaves no core dump, which would have the secrets.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    try:
        with path.open(encoding="utf-8") as file:
            # The mode of the open file: the path could be replaced in between.
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise SettingsError(
                    f"KafkaConfigFile {path} can be read by other accounts, and is not used; run: chmod 600 {path}"
                )
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
