"""What a PathFixer says of where data goes, all of one answer; and what it said last while it does not answer."""

from __future__ import annotations

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
    """`look` is to be called again and again, by one thread.

    `told` is what it said last, None if it never has; `trouble` why it does not say now, "" if it does.
    """

    def __init__(self) -> None:
        self._reader = Reader(threads=1, config_source=ConfigSource.NONE)
        self.told: PathFixerReply | None = None
        self.trouble = ""

    def look(self, path_fixer: str) -> None:
        """Never raises; `PATHFIXER_TIMEOUT_SECONDS` seconds at the most."""
        # By one call: PathFixer answers it with what belongs together. What it answers in part is of no use.
        readings = self._reader.read([f"{path_fixer}/{name}" for name in _FIELDS], PATHFIXER_TIMEOUT_SECONDS)
        trouble = next((reading.error for reading in readings.values() if reading.error), "")
        if not trouble or not self.trouble:  # Tango's words for the same change from call to call
            self.trouble = trouble
        if not trouble:
            said = {field: str(readings[f"{path_fixer}/{name}"].value or "") for name, field in _FIELDS.items()}
            self.told = PathFixerReply(**said)

    def close(self) -> None:
        """Look no more. It may wait for a call that hangs."""
        self._reader.close()
