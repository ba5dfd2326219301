"""."""

from ingest.scicat.client import (
    MAX_BODY,
    Conflict,
    Expired,
    Json,
    Modified,
    NotAllowed,
    SciCat,
    SciCatError,
    TimedOut,
    TooLarge,
    just_after,
)

__all__ = [
    "MAX_BODY",
    "Conflict",
    "Expired",
    "Json",
    "Modified",
    "NotAllowed",
    "SciCat",
    "SciCatError",
    "TimedOut",
    "TooLarge",
    "just_after",
]
