"""."""

from scifish.settings.fallback import load_last_good, save_last_good
from scifish.settings.model import BEAMLINE, CONFIG_PREFIX, DEFAULT_ALWAYS, DEVICE, PROPERTIES, Settings, SettingsError
from scifish.settings.paths import last_good_file, spool_directory, spool_folders, state_directory
from scifish.settings.properties import (
    find_scidog,
    nearly_known,
    read_properties,
    read_settings,
    settings_from_properties,
)

__all__ = [
    "BEAMLINE",
    "CONFIG_PREFIX",
    "DEFAULT_ALWAYS",
    "DEVICE",
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
