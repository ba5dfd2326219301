"""Why a message cannot be ingested, by what follows from it.

Errors of SciCat itself are `ingest.scicat.client.SciCatError`; all others are here.
"""

from __future__ import annotations


class MessageRefused(Exception):
    """The message can never be ingested: it is a dead letter. The text says why, and what to do before a replay."""


class ForeignMessage(MessageRefused):
    """A beamline's message in a topic that is not the beamline's, or about a dataset of another beamline."""


class MessagesLost(Exception):
    """Kafka has deleted messages before they were read. The text says how many, which, and what to do."""


class NotYet(Exception):
    """This dataset must wait, others need not. The same call may succeed later.

    `longest` is how many seconds it may wait before it is a dead letter; None is without limit.
    """

    def __init__(self, why: str, longest: float | None = None) -> None:
        super().__init__(why)
        self.longest = longest


class DatasetMissing(NotYet):
    """The message is about a dataset that is not in SciCat (yet)."""
