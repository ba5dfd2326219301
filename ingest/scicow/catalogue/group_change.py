"""Other groups for what belongs to a dataset.

SciCat leaves datablocks and pictures with the groups that they have when those of their dataset change, and its lists
of all of them go by these (the backend's `origdatablocks.controller.ts`, `attachments.v4.controller.ts`): whoever may
not read the dataset any more could still read the names of its files and see its pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from ingest.scicat import Json, SciCat, SciCatError

log = logging.getLogger(__name__)


def share(client: SciCat, pid: str, groups: Json) -> None:
    """Give the dataset's datablocks and pictures these `ownerGroup` and `accessGroups`. Can be repeated.

    It is to be called before the dataset gets them, so that whoever is killed in between does it again. What SciCat
    refuses for good is logged, and holds nothing up. SciCatError if it is temporary.
    """
    blocks = {str(one.get("_id") or one.get("id")): one for one in client.blocks(pid)}
    pictures = {str(one.get("aid") or one.get("id")): one for one in client.attachments(pid)}
    for key, block in blocks.items():
        if _differs(block, groups):
            _try(partial(client.share_block, key, groups), f"{pid}: datablock {key}")
    for key, picture in pictures.items():
        if _differs(picture, groups):
            _try(partial(client.share_attachment, key, groups), f"{pid}: picture {key}")


def _differs(document: Json, groups: Json) -> bool:
    return any((document.get(name) or []) != (value or []) for name, value in groups.items())


def _try(change: Callable[[], None], what: str) -> None:
    try:
        change()
    except SciCatError as error:
        if error.temporary:
            raise
        log.error(
            "%s keeps the groups that it had before, as SciCat refuses to change them: %s. Change them as an "
            "administrator",
            *(what, error),
        )
