"""What a measurement's files say of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from scifish.message import Message


@dataclass(frozen=True)
class Header:
    """The headers of one measurement's files, put together."""

    metadata: Message = field(default_factory=dict)
    """Groups as `SciFish.scientificMetadata` takes them; numbers are numbers, with units that SciCat knows."""

    data_format: str = ""
    """As `Scienta SES text 1.3.1`; several with a comma between them."""

    title: str = ""
    """What the operator called it, "" if nothing."""

    started: float | None = None
    """When the acquisition began, in seconds since 1970, UTC."""

    ended: float | None = None

    complete: bool = True
    """False if a file itself says that more is to come: it has fewer regions, lines or bytes than it announces."""

    problems: tuple[str, ...] = ()
    """Why a file, or a part of it, could not be read. Each names its file."""
