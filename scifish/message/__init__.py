"""The message that SciFish sends to Kafka: how it is made, written, read and checked. Public and stable.

The format is the JSON Schema `scifish/message/schema.json`. Nothing here uses Tango or Kafka, so any consumer of the
topic can import it, with no other part of SciFish:

    from scifish.message import MessageError, decode, leaves

    try:
        message = decode(record.value())
    except MessageError as error:
        print(f"not a message of SciFish: {error}")
    else:
        for path, value in leaves(message.get("scientificMetadata", {})):
            print(path, value["value"], value["unit"])

Read: `decode` (checks against the schema), `check`, `schema`, `leaves`, `is_leaf`.
Write: `plain`, `as_metadata`, `array_fields`, `leaf`, `iso`, `iso_of`, then `bounded` and `encode`.
Types: a message is `Began`, `Ended` (also for `snapshot`) or `Annotation`; `Value`, `File`, `Origin` are parts of it.
"""

from scifish.message.codec import MAX_MESSAGE_BYTES, MessageError, bounded, check, decode, encode, schema
from scifish.message.types import Annotation, AnyMessage, Began, Ended, File, Message, Metadata, Origin, Value
from scifish.message.values import (
    MAX_ARRAY,
    MAX_DEPTH,
    MAX_ITERATED,
    SCHEMA,
    STATUSES,
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
    "MAX_DEPTH",
    "MAX_ITERATED",
    "MAX_MESSAGE_BYTES",
    "SCHEMA",
    "STATUSES",
    "Annotation",
    "AnyMessage",
    "Began",
    "Ended",
    "File",
    "Message",
    "MessageError",
    "Metadata",
    "Origin",
    "Value",
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
