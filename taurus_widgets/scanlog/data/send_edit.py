"""Sends an edit to SciCat, safe against simultaneous writes.

SciCow writes the same values into the same fields, `comment` and `dataQualityMetrics`, for the macros scicomment and
scirate. Only these fields are PATCHed, with v3, on condition that the dataset is still what was read
(If-Unmodified-Since), and read back: a simultaneous write may undo the edit, or make the server answer 500 although it
was done.
"""

from __future__ import annotations

from dataclasses import dataclass

from ingest.scicat import Modified, SciCat, SciCatError, just_after
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.outbox import PICTURE, Edit, normal

MAX_EDIT_TRIES = 5


@dataclass(frozen=True)
class EditSent:
    """The edit is in SciCat; `dataset` was read after that."""

    dataset: Json


@dataclass(frozen=True)
class EditConflict:
    """Somebody else has changed the same field since the edit began. Nothing was written."""

    dataset: Json


def send(scicat: SciCat, edit: Edit) -> EditSent | EditConflict:
    """Write the edit unless SciCat has it already. Can be repeated.

    Raises SciCatError: temporary, Expired, or permanent (NotAllowed, or there is no such dataset).
    """
    if edit.field == PICTURE:
        found = _read(scicat, edit)
        owner, others = str(found.get("ownerGroup", "")), found.get("accessGroups") or []
        scicat.attach_once(edit.pid, owner, edit.caption, edit.value, others)
        return EditSent(found)
    refused: SciCatError | None = None
    for attempt in range(MAX_EDIT_TRIES + 1):
        found = _read(scicat, edit)
        there = normal(edit.field, found.get(edit.field))
        if there == normal(edit.field, edit.value):
            return EditSent(found)
        if there not in [normal(edit.field, value) for value in edit.before]:
            return EditConflict(found)
        if attempt == MAX_EDIT_TRIES:
            break
        try:
            # The last attempt has no condition, for a server with a wrong clock.
            since = just_after(found) if attempt < MAX_EDIT_TRIES - 1 else ""
            scicat.patch_dataset(edit.pid, {edit.field: edit.value}, since)
        except Modified as error:
            refused = error
        except SciCatError as error:
            if error.status != 500:
                raise
            refused = error  # the write may have happened
    raise refused or SciCatError(
        f"the change of {edit.pid} does not persist", 0, f"other clients overwrote it {MAX_EDIT_TRIES} times"
    )


def _read(scicat: SciCat, edit: Edit) -> Json:
    found = scicat.dataset(edit.pid)
    if found is None:
        raise SciCatError(f"GET {edit.pid}", 404, "it is not in SciCat")
    return found
