"""Kafka's clients, made so that one which cannot be made is a mistake in the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from ingest.settings import SettingsError

T = TypeVar("T")


def client(kind: Callable[[dict[str, Any]], T], config: dict[str, Any]) -> T:
    """One of this kind. SettingsError if the client library does not take what `kafka.config_file` says."""
    try:
        return kind(config)
    except (KafkaException, TypeError, ValueError) as error:
        said = error.args[0].str() if isinstance(error.args[0], KafkaError) else error
        raise SettingsError(f"kafka.config_file: Kafka's client library does not take it: {said}") from error
