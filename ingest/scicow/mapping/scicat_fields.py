"""SciCat's fields of a dataset that a mapping may set: what kind of value each takes.

Any other field, and any in the wrong form, would be a 400 for every dataset.
"""

from __future__ import annotations

from typing import Any

TEXT, LIST, TRUTH, OBJECTS = "text", "a list of texts", "true or false", "a list of 'name: value' lines"

SCICAT_FIELDS = {
    **dict.fromkeys(
        (
            *("owner", "ownerEmail", "orcidOfOwner", "contactEmail", "ownerGroup", "instrumentGroup"),
            *("datasetName", "description", "sourceFolder", "sourceFolderHost", "creationTime", "startTime", "endTime"),
            *("creationLocation", "dataFormat", "runNumber", "validationStatus", "classification", "license"),
            *("scientificMetadataSchema", "jobLogData"),
        ),
        TEXT,
    ),
    **dict.fromkeys(("accessGroups", "keywords", "sharedWith", "usedSoftware", "inputDatasets"), LIST),
    **dict.fromkeys(("techniques", "relationships"), OBJECTS),
    "isPublished": TRUTH,
}
V3_FIELDS = dict.fromkeys(("principalInvestigator", "proposalId", "sampleId", "instrumentId"), TEXT)
V4_FIELDS = dict.fromkeys(("principalInvestigators", "proposalIds", "sampleIds", "instrumentIds"), LIST)

FIELDS_BY_SECTION = {"fields": SCICAT_FIELDS, "v3": SCICAT_FIELDS | V3_FIELDS, "v4": SCICAT_FIELDS | V4_FIELDS}
"""By the section of the page."""

NAMES_IN_V3 = dict(zip(V4_FIELDS, V3_FIELDS, strict=True))
"""As v3, which is what is read, calls the first of a list of v4."""

SET_BY_SCICOW = ("pid", "type", "scientificMetadata", "size", "numberOfFiles", "comment", "dataQualityMetrics")
"""SciCow sets these by itself."""

_REQUIRED = frozenset({"owner", "contactEmail", "ownerGroup", "sourceFolder", "creationTime", "datasetName"})
REQUIRED = {"v3": _REQUIRED | {"principalInvestigator", "creationLocation"}, "v4": _REQUIRED}
"""What SciCat does not create a dataset without (v4 without owner is a 500)."""


def wrong(kind: str, value: Any) -> bool:
    """Whether a pattern of the page is not of the field's kind."""
    if kind == TRUTH:
        return not isinstance(value, bool)
    if kind == TEXT:
        return not isinstance(value, str)
    inner: type = str if kind == LIST else dict
    return not isinstance(value, list) or not all(isinstance(each, inner) for each in value)
