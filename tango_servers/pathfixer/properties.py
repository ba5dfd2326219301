"""A PathFixer's properties as settings, and the checks of texts that clients write.

All properties are read as texts: with a typed property, a wrong value ends the whole Tango server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scifish.tango_io.database import text
from sdm.layout import DEFAULT_ROOT, Layout, layout_from
from sdm.names import NameRefused, check_name
from sdm.office import OfficeError, RememberingOffice, memory_file, office_from

MAX_PATHFIXER_TEXT_LENGTH = 1000
"""Characters. Linux allows paths of 4095; Windows, where shares are mounted too, far less."""

MAX_QUOTED_LENGTH = 60
"""Characters of a refused text that the error quotes."""


def checked_text(value: str, what: str) -> str:
    """The text without surrounding blanks. Raises NameRefused; `what` names the text in the error."""
    if len(value) > MAX_PATHFIXER_TEXT_LENGTH:
        raise NameRefused(
            f"{what} {value[:MAX_QUOTED_LENGTH]!r}... refused: it has more than {MAX_PATHFIXER_TEXT_LENGTH} characters"
        )
    if not value.isprintable():
        raise NameRefused(
            f"{what} {value[:MAX_QUOTED_LENGTH]!r} refused: it has characters that cannot be printed (such as a tab "
            "or a line break)"
        )
    return value.strip()


TRUE_WORDS, FALSE_WORDS = ("true", "t", "yes", "y", "on", "1"), ("", "false", "f", "no", "n", "off", "0")
"""As PyTango accepts them; an empty text is the default."""


@dataclass(frozen=True)
class PathSettings:
    """`problems` has a sentence for each wrong property, with its name and value; `office` is None then."""

    beamline: str = ""
    office: RememberingOffice | None = None
    layout: Layout = field(default_factory=Layout)
    raw_read_only: bool = False
    problems: tuple[str, ...] = ()


def settings_from(
    *,
    beamline: Sequence[str],
    office: Sequence[str],
    office_memory: Sequence[str],
    prefix: Sequence[str],
    storage_layout: Sequence[str],
    raw_path_readonly: Sequence[str],
) -> PathSettings:
    """From the lines of the properties, as PyTango reads them."""
    problems: list[str] = []

    @contextlib.contextmanager
    def collect_errors(name: str) -> Iterator[None]:
        try:
            yield
        except (OfficeError, NameRefused) as error:
            problems.append(f"property {name}: {error}")

    name, office_asked, memory, root, layout, read_only = "", None, None, DEFAULT_ROOT, Layout(), False
    with collect_errors("Beamline"):
        name = check_name(_one(beamline), "the beamline's name")
    with collect_errors("Office"):
        office_asked = office_from(_one(office))
    with collect_errors("OfficeMemory"):
        memory = _file(_one(office_memory)) or memory_file()
    with collect_errors("Prefix"):
        root = Layout(Path(_one(prefix) or DEFAULT_ROOT)).root
    with collect_errors("StorageLayout"):
        layout = layout_from("\n".join(map(text, storage_layout)), root)
    with collect_errors("Raw_path_readonly"):
        read_only = _boolean(_one(raw_path_readonly))
    usable = RememberingOffice(office_asked, memory) if office_asked and memory and not problems else None
    return PathSettings(name, usable, layout, read_only, tuple(problems))


def _one(lines: Sequence[str]) -> str:
    given = [line for line in (text(line).strip() for line in lines) if line]
    if len(given) > 1:
        raise NameRefused(f"it has {len(given)} lines, but must have one: {', '.join(map(repr, given))}")
    return "".join(given)


def _file(path: str) -> Path | None:
    if path and not Path(path).is_absolute():
        raise NameRefused(f"{path!r} is not the full path of a file")
    return Path(path) if path else None


def _boolean(value: str) -> bool:
    if value.lower() not in TRUE_WORDS + FALSE_WORDS:
        raise NameRefused(f"{value!r} is neither true nor false")
    return value.lower() in TRUE_WORDS
