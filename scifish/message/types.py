"""The parts of a message as TypedDicts, in the form that `schema.json` prescribes.

What a function writes has one of these types. What comes from outside, or may be any of them, is a `Message`: only the
check against the schema (`scifish.message.check`) knows its form.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Message = dict[str, Any]
"""A message, or a part of one, as JSON carries it: a dictionary whose form is not known to the type checker."""

Metadata = dict[str, Any]
"""Names to `Value`s, or to groups of the same form."""


class Origin(TypedDict):
    """The program that recorded a dataset. `run` is one for each start of that program."""

    host: str
    program: str
    version: str
    run: str


class Value(TypedDict):
    """One value with its unit and source. `value` is None, with `error`, if it could not be read.

    `raw` is the attribute's value where `value` is what the configuration's `map` makes of it. A value that a program
    gives may have further keys of its own.
    """

    value: Any
    unit: str
    human_name: str
    source: str
    time: str
    quality: NotRequired[str]
    error: NotRequired[str]
    raw: NotRequired[Any]
    end: NotRequired[Any]
    min: NotRequired[Any]
    max: NotRequired[Any]
    mean: NotRequired[Any]
    std: NotRequired[Any]
    samples: NotRequired[int]
    shape: NotRequired[list[int]]


class File(TypedDict):
    """A data file. `error` says why it could not be described: then `size` and `time` are not the file's."""

    path: str
    time: str
    size: int
    error: NotRequired[str]


MAX_RECORDED_PICTURE_BYTES = 60_000
"""Maximum size of a recorded picture: SciCat stores it in its database, and shows it as a thumbnail."""


class Image(TypedDict):
    """A picture; `uri` is a data URI of a PNG or JPEG file."""

    caption: str
    uri: str


class Changes(TypedDict, total=False):
    """What an annotation adds to a dataset. `rating` is from 0 to 3 in steps of a half."""

    comment: str
    rating: float
    scientificMetadata: Metadata
    image: Image


class FileListPart(TypedDict):
    """Which part of a message this is, where the list of files was split."""

    number: int
    of: int


class _Common(TypedDict):
    schema: str
    uuid: str
    beamline: str
    proposalId: str
    creationTime: str
    origin: Origin
    seq: NotRequired[int]
    """Assigned by the spool when the message is put into the outbox."""
    warnings: NotRequired[list[str]]


class _Dataset(_Common):
    datasetName: str
    sampleId: str
    sourceFolder: str
    dataFormat: str
    description: str
    environment: dict[str, Any]
    scientificMetadata: Metadata


class Began(_Dataset):
    """A dataset has begun."""

    type: Literal["began"]


class Ended(_Dataset):
    """A dataset is over, or (`snapshot`) one without a duration: everything that is known of it."""

    type: Literal["ended", "snapshot"]
    status: str
    startTime: str
    endTime: str
    numberOfPoints: NotRequired[int]
    files: list[File]
    revision: NotRequired[int]
    part: NotRequired[FileListPart]


class Annotation(_Common):
    """A comment, a rating, an image or more metadata of a dataset that exists."""

    type: Literal["annotation"]
    annotation: Changes


AnyMessage = Began | Ended | Annotation


class DatasetPlace(TypedDict, total=False):
    """Where a dataset was measured, as PathFixer says."""

    proposalId: str
    sampleId: str
    sourceFolder: str
    category: str


class GivenFields(TypedDict, total=False):
    """What a program says about a dataset, normalised (`scifish.dataset.compose.as_given`); kept in the spool.

    `dataset` is the uuid of the dataset where a recording has one of its own, and `revision` how often that dataset was
    recorded before. `annotation` is what a person adds to that dataset, which is then all that is recorded.
    """

    datasetName: Any
    proposalId: Any
    sampleId: Any
    sourceFolder: Any
    dataFormat: Any
    description: Any
    environment: Any
    scientificMetadata: Metadata
    files: Any
    plot: Any
    place: DatasetPlace
    dataset: str
    revision: int
    annotation: Changes
    warnings: list[str]


class Ending(TypedDict):
    """How a dataset ended: `status` is one of `scifish.message.STATUSES`, `endTime` in seconds since 1970.

    Without `points` their number is not known: the program does not count any.
    """

    status: str
    endTime: float
    points: NotRequired[int]
