"""."""

from scifish.message.codec import MAX_BYTES, MessageError, bounded, check, decode, encode, schema
from scifish.message.values import (
    MAX_ARRAY,
    MAX_DEPTH,
    MAX_ITERATED,
    SCHEMA,
    STATUSES,
    Message,
    array_fields,
    as_metadata,
    is_leaf,
    iso,
    iso_of,
    leaf,
    leaves,
    plain,
)

__all__ = [
    "MAX_ARRAY",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_ITERATED",
    "SCHEMA",
    "STATUSES",
    "Message",
    "MessageError",
    "array_fields",
    "as_metadata",
    "bounded",
    "check",
    "decode",
    "encode",
    "is_leaf",
    "iso",
    "iso_of",
    "leaf",
    "leaves",
    "plain",
    "schema",
]
