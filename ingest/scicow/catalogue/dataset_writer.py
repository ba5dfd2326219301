"""Changes of a dataset that persist: written, read back, and written again if another client undid them.

The real backend writes a dataset from an earlier read (found by running v4.6): a comment's PATCH at the
same moment can undo a change of metadata, and a change of metadata a comment.
"""

from __future__ import annotations

from collections.abc import Callable

from ingest.scicat import Json, Modified, SciCat, SciCatError, just_after
from ingest.scicow.mapping import there_of
from ingest.scicow.mapping.merge_patch import merged, missing, same, undone, united, whole

MAX_WRITE_ATTEMPTS = 5

NeededPatch = Callable[[Json], Json]
"""The merge-patch that a dataset, as v3 shows it, still needs; {} if none."""


class DatasetWriter:
    """Writes by one version of the interface, v3 or v4."""

    def __init__(self, client: SciCat, version: str) -> None:
        self._client = client
        self._version = version

    def settle(self, pid: str, first: Json, wanted: NeededPatch) -> bool:
        """Change the dataset, which is `first` now, until no patch is `wanted`. Returns whether any was.

        SciCatError, temporary, if other clients undo the changes each time.
        """
        found, new = first, wanted(first)
        if not new:
            return False
        # What others may have taken away: all that was there, but what is to go.
        kept = merged(_metadata(first), new.get("scientificMetadata", {}))
        for attempt in range(MAX_WRITE_ATTEMPTS):
            before = found
            refused: SciCatError | None = None
            try:
                self._write(pid, found, new, attempt)
            except Modified:
                # Nothing is written: somebody else was first. What is wanted is another thing now.
                before = {}
            except SciCatError as error:
                # Writes at the same moment answer 500 after the write happened.
                if error.status != 500:
                    raise
                refused = error
            found = self._read(pid)
            left = wanted(found)
            new = _left(left, before, found) if before else left
            new = _with_metadata(new, missing(kept, _metadata(found)))
            if not new:
                return True
            if refused is not None and same(_metadata(before), _metadata(found)):
                raise refused
        raise SciCatError(
            f"changes of {pid} do not persist", 0, f"other clients overwrote them {MAX_WRITE_ATTEMPTS} times"
        )

    def _write(self, pid: str, found: Json, new: Json, attempt: int) -> None:
        # Only if it still is what was read; the last try does without, for a server whose clock goes wrong.
        since = just_after(found) if attempt < MAX_WRITE_ATTEMPTS - 1 else ""
        if self._version == "v4" and attempt == 0:
            self._client.merge_dataset(pid, new, since, found)
            return
        # All metadata at once: v3 knows nothing else, and where a merge has lost some, it is the safe way.
        if "scientificMetadata" in new:
            new = {**new, "scientificMetadata": whole(_metadata(found), new["scientificMetadata"])}
        self._client.replace_metadata(pid, new, since, self._version, found)

    def _read(self, pid: str) -> Json:
        found = self._client.dataset(pid)
        if found is None:
            raise SciCatError(f"{pid} was changed, and does not exist any more", 0, "retrying")
        return found


def _left(new: Json, before: Json, found: Json) -> Json:
    """What of `new` the write between these two has not touched."""
    left = {
        name: value
        for name, value in new.items()
        if name != "scientificMetadata" and same(there_of(name, before), there_of(name, found))
    }
    return _with_metadata(left, undone(new.get("scientificMetadata", {}), _metadata(before), _metadata(found)))


def _with_metadata(new: Json, metadata: Json) -> Json:
    """`new` with these metadata, its own over them."""
    both = united(metadata, new.get("scientificMetadata", {}))
    return {**new, "scientificMetadata": both} if both else new


def _metadata(found: Json) -> Json:
    metadata: Json = found.get("scientificMetadata") or {}
    return metadata
