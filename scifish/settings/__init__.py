"""The settings of a beamline: the properties of its SciDog, a YAML file, or an object of a program. Public and stable.

A program without a Tango database passes its settings itself:

    from scifish import SciFish
    from scifish.settings import Settings

    fish = SciFish(settings=Settings(beamline="lab", kafka_bootstrap_servers="kafka.lab:9092"))

Public are `Settings` and `SettingsError`, the readers `find_scidog`, `read_settings`, `read_properties` and
`settings_from_properties`, the last good settings on disk (`load_last_good`, `save_last_good`, `last_good_file`) and
the folders (`spool_directory`, `spool_folders`, `state_directory`). docs/reference/settings.md lists the properties.
"""

from scifish.settings.fallback import load_last_good, save_last_good
from scifish.settings.model import (
    BEAMLINE_NAME,
    CONFIG_PREFIX,
    DEFAULT_ALWAYS,
    DEVICE_NAME,
    PROPERTIES,
    Settings,
    SettingsError,
)
from scifish.settings.paths import last_good_file, spool_directory, spool_folders, state_directory
from scifish.settings.properties import (
    find_scidog,
    nearly_known,
    read_properties,
    read_settings,
    settings_from_properties,
)

__all__ = [
    "BEAMLINE_NAME",
    "CONFIG_PREFIX",
    "DEFAULT_ALWAYS",
    "DEVICE_NAME",
    "PROPERTIES",
    "Settings",
    "SettingsError",
    "find_scidog",
    "last_good_file",
    "load_last_good",
    "nearly_known",
    "read_properties",
    "read_settings",
    "save_last_good",
    "settings_from_properties",
    "spool_directory",
    "spool_folders",
    "state_directory",
]
