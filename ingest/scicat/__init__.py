"""The client of SciCat's REST API (v3 and v4), for SciCow, the scan log and the demo.

from ingest.scicat import SciCat

scicat = SciCat("https://scicat.example.org", username=..., password=...)
scicat.dataset("20.500.12345/1f0c...")
"""

from ingest.scicat.client import (
    MAX_BODY,
    DocumentConflict,
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
    "DocumentConflict",
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
