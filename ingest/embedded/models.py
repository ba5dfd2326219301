"""What SciCat takes: the fields of each kind of document, their types, and which must be there.

Unknown fields are refused, as SciCat's own validation does. Times become UTC with milliseconds.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal, Optional

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

# pydantic reads `Optional` from `create_model` below, so it can't be written as `X | None` there.

_EMAIL = re.compile(r"[^@\s;]+@[^@\s;.]+(\.[^@\s;.]+)+")


def utc(text: str) -> str:
    """ISO 8601 with a T as UTC, to the millisecond, with Z. Without an offset it is the server's time."""
    if "T" not in text:
        raise ValueError("must be a valid ISO 8601 date string with a T")
    try:
        moment = dt.datetime.fromisoformat(text).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError("must be a valid ISO 8601 date string") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise ValueError("must be an email")
    return text


def _emails(text: str) -> str:
    for one in text.split(";"):
        _email(one.strip())
    return text


def _folder(text: str) -> str:
    return text.rstrip("/") or "/"


def _whole(value: Any) -> Any:
    # JSON has one kind of number: 10.0 is as whole as 10.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Time = Annotated[str, AfterValidator(utc)]
Email = Annotated[str, AfterValidator(_email)]
Emails = Annotated[str, AfterValidator(_emails)]
Text = Annotated[str, Field(min_length=1)]
Whole = Annotated[int, BeforeValidator(_whole)]
Number = int | float
Names = list[str]
Object = dict[str, Any]


class Strict(BaseModel):
    """Exactly these fields, of exactly these JSON types."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Technique(Strict):
    pid: Text
    name: Text


class Relationship(Strict):
    identifier: Text
    identifierType: str = "Other"
    relationship: str = "IsReferencedBy"
    entityType: str = "Other"
    externalId: str | None = None


class Ownable(Strict):
    ownerGroup: Text
    accessGroups: Names | None = None
    instrumentGroup: str | None = None


class DatasetModel(Ownable):
    """What v3 and v4 have in common."""

    ownerEmail: Email | None = None
    orcidOfOwner: str | None = None
    contactEmail: Emails
    sourceFolder: Annotated[Text, AfterValidator(_folder)]
    sourceFolderHost: str | None = None
    size: Whole | None = None
    packedSize: Whole | None = None
    numberOfFiles: Whole | None = None
    numberOfFilesArchived: Whole | None = None
    creationTime: Time
    validationStatus: str | None = None
    keywords: Names | None = None
    description: str | None = None
    classification: str | None = None
    license: str | None = None
    isPublished: bool | None = None
    techniques: list[Technique] | None = None
    sharedWith: Names | None = None
    relationships: list[Relationship] | None = None
    datasetlifecycle: Object | None = None
    scientificMetadata: Object | None = None
    scientificMetadataSchema: str | None = None
    scientificMetadataValid: bool | None = None
    comment: str | None = None
    dataQualityMetrics: Number | None = None
    startTime: Time | None = None
    endTime: Time | None = None
    dataFormat: str | None = None
    inputDatasets: Names | None = None
    usedSoftware: Names | None = None
    jobParameters: Object | None = None
    jobLogData: str | None = None
    runNumber: str | None = None


class UpdateDatasetV3(DatasetModel):
    """PUT of v3, and with nothing required PATCH."""

    owner: Text
    datasetName: Text | None = None
    proposalId: str | None = None
    sampleId: str | None = None
    instrumentId: str | None = None
    creationLocation: str | None = None
    principalInvestigator: str | None = None
    investigator: str | None = None


class CreateRawV3(UpdateDatasetV3):
    type: Literal["raw"]
    pid: Text | None = None
    version: str | None = None
    principalInvestigator: Text
    creationLocation: Text


class CreateDerivedV3(UpdateDatasetV3):
    type: Literal["derived"]
    pid: Text | None = None
    version: str | None = None
    investigator: Text
    inputDatasets: Names
    usedSoftware: Names


class UpdateDatasetV4(DatasetModel):
    """PUT of v4, and with nothing required PATCH."""

    owner: Text | None = None
    datasetName: Text
    proposalIds: Names | None = None
    sampleIds: Names | None = None
    instrumentIds: Names | None = None
    creationLocation: str | None = None
    principalInvestigators: Names | None = None


class CreateDatasetV4(UpdateDatasetV4):
    type: Literal["raw", "derived"]
    pid: Text | None = None


class MeasurementPeriod(Strict):
    id: str | None = None
    instrument: Text
    start: Time
    end: Time
    comment: str | None = None


class UpdateProposal(Ownable):
    """With nothing required PATCH of a proposal."""

    email: Email
    title: Text
    pi_email: Email | None = None
    pi_firstname: str | None = None
    pi_lastname: str | None = None
    firstname: str | None = None
    lastname: str | None = None
    abstract: str | None = None
    startTime: Time | None = None
    endTime: Time | None = None
    MeasurementPeriodList: list[MeasurementPeriod] | None = None
    metadata: Object | None = None
    parentProposalId: str | None = None
    type: str | None = None
    instrumentIds: Names | None = None
    keywords: Names | None = None


class CreateProposal(UpdateProposal):
    proposalId: Text


class CreateSample(Ownable):
    sampleId: Text | None = None
    owner: str | None = None
    description: str | None = None
    type: str | None = None
    proposalId: str | None = None
    parentSampleId: str | None = None
    sampleCharacteristics: Object | None = None
    isPublished: bool | None = None


class CreateInstrument(Strict):
    uniqueName: Text
    name: Text
    customMetadata: Object | None = None


class DataFile(Strict):
    path: Text
    size: Whole
    time: Time
    chk: str | None = None
    uid: str | None = None
    gid: str | None = None
    perm: str | None = None
    type: str | None = None
    metadata: Object | None = None


class UpdateOrigDatablock(Strict):
    size: Whole
    chkAlg: str | None = None
    dataFileList: Annotated[list[DataFile], Field(min_length=1)]
    ownerGroup: str | None = None
    accessGroups: Names | None = None
    instrumentGroup: str | None = None
    isPublished: bool | None = None


class CreateOrigDatablock(UpdateOrigDatablock):
    datasetId: Text


class CreateAttachment(Ownable):
    id: str | None = None
    caption: Text
    thumbnail: str | None = None
    datasetId: str | None = None
    proposalId: str | None = None
    sampleId: str | None = None


class UpdateAttachmentV4(Ownable):
    caption: Text
    thumbnail: str | None = None
    isPublished: bool | None = None


class Credentials(Strict):
    username: str
    password: str


def _partial(model: type[Strict]) -> type[Strict]:
    """The same fields, none of them required."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        # Annotated, so that the field's validators come along.
        annotated = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
        fields[name] = (Optional[annotated], None)  # noqa: UP045
    return create_model(f"Partial{model.__name__}", __base__=Strict, **fields)


PatchDatasetV3 = _partial(UpdateDatasetV3)
PatchDatasetV4 = _partial(UpdateDatasetV4)
PatchProposal = _partial(UpdateProposal)
PatchSample = _partial(CreateSample)
PatchInstrument = _partial(CreateInstrument)
PatchOrigDatablock = _partial(UpdateOrigDatablock)
PatchAttachmentV4 = _partial(UpdateAttachmentV4)
