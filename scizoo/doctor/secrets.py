"""The texts that must not be shown, because somebody may send the report to others."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from scifish.settings import Settings, SettingsError
from scifish.spool.kafka_config import read_config_file

SECRET_NAME = re.compile(r"passw|secret|token|jaas|credential|\.key$|\.pem$|_key$", re.IGNORECASE)
"""Names of librdkafka's settings and of environment variables whose values are secret."""


def secrets_of(settings: Settings | None, scicow: Path | None) -> tuple[str, ...]:
    """Secrets in the environment and in the files that these settings name. Never raises."""
    found = _in(os.environ)
    if settings is not None and settings.kafka_config_file:
        found |= _in_file(Path(settings.kafka_config_file))
    if scicow is not None:
        found |= _of_scicow(scicow)
    return tuple(found)


def _in(values: Mapping[str, str]) -> set[str]:
    return {value for name, value in values.items() if SECRET_NAME.search(name)}


def _in_file(path: Path) -> set[str]:
    try:
        return _in(read_config_file(path))
    except SettingsError:
        return set()  # what cannot be read is not shown either


def _of_scicow(path: Path) -> set[str]:
    try:
        from ingest.scicow.settings import SciCowSettingsError, load  # its packages need not be here
    except ImportError:
        return set()
    try:
        settings = load(path)
    except SciCowSettingsError:
        return set()  # what cannot be read is not shown either
    found = {str(settings.scicat.password)}
    with suppress(SciCowSettingsError):
        found |= _in(settings.kafka.librdkafka())
    return found
