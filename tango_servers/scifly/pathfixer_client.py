"""Reads proposal, sample and path of a PathFixer in one call, and keeps the last answer while it does not answer."""

from __future__ import annotations

import time

from scifish.attributes.pathfixer import PATHFIXER_TIMEOUT_SECONDS
from scifish.attributes.reader import ConfigSource, Reader
from tango_servers.scifly.properties import PathFixerReply

_FIELDS = {
    "Proposal": "proposal",
    "Visit": "visit",
    "Sample": "sample",
    "Type": "category",
    "Path": "path",
    "SamplePath": "sample_path",
}


class PathFixerClient:
    """Reads one PathFixer. One thread calls `update` repeatedly.

    `last_reply` is the last answer, None before the first, and `answered` when it was asked for, in seconds since 1970;
    `trouble` says why PathFixer does not answer now, "" if it does.
    """

    def __init__(self) -> None:
        self._reader = Reader(threads=1, config_source=ConfigSource.NONE)
        self.last_reply: PathFixerReply | None = None
        self.answered = 0.0
        self.trouble = ""

    def update(self, path_fixer: str) -> None:
        """Read the attributes. Never raises; takes `PATHFIXER_TIMEOUT_SECONDS` at most."""
        asked = time.time()
        # In one call, so that all values belong together. An incomplete answer is not used.
        readings = self._reader.read([f"{path_fixer}/{name}" for name in _FIELDS], PATHFIXER_TIMEOUT_SECONDS)
        trouble = next((reading.error for reading in readings.values() if reading.error), "")
        if not trouble or not self.trouble:  # Tango's text for the same error changes from call to call
            self.trouble = trouble
        if not trouble:
            values = {field: str(readings[f"{path_fixer}/{name}"].value or "") for name, field in _FIELDS.items()}
            self.last_reply, self.answered = PathFixerReply(**values), asked

    def close(self) -> None:
        """Stop reading. May wait for a call that hangs."""
        self._reader.close()
