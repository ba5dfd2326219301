"""The pictures of a dataset: attachments, each of them once.

Lists show one of a dataset's pictures, the first that it got (`GET .../thumbnail`): for a scan its plot, which
is sent right after its end. Nothing is ever put before it, or taken away and put back, so that one stays.
"""

from __future__ import annotations

from ingest.scicat import SciCat, SciCatError


class Pictures:
    """Adds pictures with one client."""

    def __init__(self, client: SciCat) -> None:
        self._client = client

    def add(self, pid: str, owner_group: str, caption: str, uri: str) -> bool:
        """Whether it was not there yet. `uri` is a full `data:` URI."""
        if self._is_there(pid, caption, uri):
            return False
        try:
            self._client.attach(pid, owner_group, caption, uri)
        except SciCatError as error:
            # The write may have happened.
            if not error.temporary or not self._is_there(pid, caption, uri):
                raise
        return True

    def _is_there(self, pid: str, caption: str, uri: str) -> bool:
        there = self._client.attachments(pid)
        return any((each.get("caption"), each.get("thumbnail")) == (caption, uri) for each in there)
