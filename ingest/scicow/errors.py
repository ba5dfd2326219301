"""Why a message cannot be ingested, in the words that decide what becomes of it.

Errors of SciCat itself are `ingest.scicat.client.SciCatError`; what is not from SciCat is one of these.
"""

from __future__ import annotations


class MessageRefused(Exception):
    """It will never be taken: a dead letter. The text says why, and what to do before it is replayed."""


class NotYet(Exception):
    """This dataset has to wait; others need not. The same call may succeed later.

    `longest` is for how many seconds it may wait before it is a dead letter; None is for ever.
    """

    def __init__(self, why: str, longest: float | None = None) -> None:
        super().__init__(why)
        self.longest = longest


class DatasetMissing(NotYet):
    """The message is about a dataset that is not in SciCat (yet)."""
