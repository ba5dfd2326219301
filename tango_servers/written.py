"""What clients may write. Refused here is what no office and no disk needs to be asked about."""

from __future__ import annotations

from sdm.layout import NameRefused

LONGEST = 1000
"""Characters; Linux takes paths of 4095, and Windows, where shares are mounted too, far less."""

LONGEST_QUOTED = 60


def checked_text(value: str, what: str) -> str:
    """The text without the blanks around it. Raises NameRefused; `what` is how the error calls it."""
    if len(value) > LONGEST:
        raise NameRefused(f"{what} {value[:LONGEST_QUOTED]!r}... refused: it has more than {LONGEST} characters")
    if not value.isprintable():
        raise NameRefused(
            f"{what} {value[:LONGEST_QUOTED]!r} refused: it has characters that cannot be printed (a tab, a line's end)"
        )
    return value.strip()
