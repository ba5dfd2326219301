"""Reads other programs' XML as a stream, without entities, with at most one element in memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol
from xml.parsers import expat

from scifly.readers.source import BLOCK_BYTES, Source, UnfinishedError, UnreadableError
from scifly.readers.values import MAX_FIELD_TEXT_LENGTH

MAX_XML_DEPTH = 100
MAX_TAG_BYTES = 8 * BLOCK_BYTES
"""Maximum bytes of one tag or comment, which expat keeps in memory."""


class XmlHandler(Protocol):
    def start(self, tag: str, attributes: Mapping[str, str]) -> None: ...

    def end(self, tag: str, text: str) -> None:
        """`text` is the text directly before the end tag, cut to `MAX_FIELD_TEXT_LENGTH`."""

    def comment(self, text: str) -> None: ...


def blocks(source: Source) -> Iterable[bytes]:
    """The blocks of a file from its start. Raises UnreadableError after the deadline."""
    source.file.seek(0)
    while block := source.file.read(BLOCK_BYTES):
        yield block
        if source.late:
            raise UnreadableError("not read to its end: too large for the available time")


def parse(each: Iterable[bytes], handler: XmlHandler, encoding: str | None = None) -> None:
    """Parse XML. Raises UnfinishedError if it ends too early, UnreadableError if it is not XML, or harmful.

    `encoding` overrides the one that the XML declares.
    """
    _Parser(handler, encoding).parse(each)


class NotWellFormedError(UnreadableError):
    """The XML is not well-formed: it may have another encoding than it declares."""


class _Parser:
    def __init__(self, handler: XmlHandler, encoding: str | None) -> None:
        self._handler = handler
        self._text = ""
        self._depth = 0
        parser = self._parser = expat.ParserCreate(encoding)
        parser.buffer_text = True
        parser.buffer_size = 1 << 16
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = handler.comment
        parser.EntityDeclHandler = self._entity

    def parse(self, each: Iterable[bytes]) -> None:
        fed = 0
        try:
            for block in each:
                self._parser.Parse(block, False)
                fed += len(block)
                if fed - max(self._parser.CurrentByteIndex, 0) > MAX_TAG_BYTES:
                    raise UnreadableError(f"has a tag of more than {MAX_TAG_BYTES} bytes")
        except expat.ExpatError as error:
            raise NotWellFormedError(f"is not XML: {error}") from error
        try:
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise UnfinishedError(f"the XML ends too early: {error}") from error

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._text = ""
        self._depth += 1
        if self._depth > MAX_XML_DEPTH:
            raise UnreadableError(f"has more than {MAX_XML_DEPTH} nested elements")
        self._handler.start(tag, attributes)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        text, self._text = self._text, ""
        self._handler.end(tag, text)

    def _characters(self, text: str) -> None:
        if len(self._text) < MAX_FIELD_TEXT_LENGTH:
            self._text += text[:MAX_FIELD_TEXT_LENGTH]

    def _entity(self, *_: object) -> None:
        raise UnreadableError("declares entities, which programs for spectra do not use: it is not read")
