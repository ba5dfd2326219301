"""A PathFixer's properties as settings, and the checks of texts that clients write.

All properties are read as texts: with a typed property, a wrong value ends the whole Tango server.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scifish.tango_io.database import text
from sdm.layout import DEFAULT_ROOT, Layout, NameRefused, check_name, layout_from
from sdm.office import OfficeError, RememberingOffice, memory_file, office_from

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


TRUE, FALSE = ("true", "t", "yes", "y", "on", "1"), ("", "false", "f", "no", "n", "off", "0")
"""Those that PyTango takes; nothing said is the default."""


@dataclass(frozen=True)
class PathSettings:
    """`office` is None where something is `wrong`: a sentence for each property, with its name and its value."""

    beamline: str = ""
    office: RememberingOffice | None = None
    layout: Layout = field(default_factory=Layout)
    raw_read_only: bool = False
    wrong: tuple[str, ...] = ()


def settings_from(
    *,
    beamline: Sequence[str],
    office: Sequence[str],
    office_memory: Sequence[str],
    prefix: Sequence[str],
    storage_layout: Sequence[str],
    raw_path_readonly: Sequence[str],
) -> PathSettings:
    """Of the properties' lines, as PyTango reads them."""
    wrong: list[str] = []

    @contextlib.contextmanager
    def of(name: str) -> Iterator[None]:
        try:
            yield
        except (OfficeError, NameRefused) as error:
            wrong.append(f"property {name}: {error}")

    name, asked, memory, root, layout, read_only = "", None, None, DEFAULT_ROOT, Layout(), False
    with of("Beamline"):
        name = check_name(_one(beamline), "the beamline's name")
    with of("Office"):
        asked = office_from(_one(office))
    with of("OfficeMemory"):
        memory = _file(_one(office_memory)) or memory_file()
    with of("Prefix"):
        root = Layout(Path(_one(prefix) or DEFAULT_ROOT)).root
    with of("StorageLayout"):
        layout = layout_from("\n".join(map(text, storage_layout)), root)
    with of("Raw_path_readonly"):
        read_only = _boolean(_one(raw_path_readonly))
    usable = RememberingOffice(asked, memory) if asked and memory and not wrong else None
    return PathSettings(name, usable, layout, read_only, tuple(wrong))


def _one(lines: Sequence[str]) -> str:
    said = [line for line in (text(line).strip() for line in lines) if line]
    if len(said) > 1:
        raise NameRefused(f"it has {len(said)} lines, and one is meant: {', '.join(map(repr, said))}")
    return "".join(said)


def _file(said: str) -> Path | None:
    if said and not Path(said).is_absolute():
        raise NameRefused(f"{said!r} is not the full path of a file")
    return Path(said) if said else None


def _boolean(said: str) -> bool:
    if said.lower() not in TRUE + FALSE:
        raise NameRefused(f"{said!r} is neither true nor false")
    return said.lower() in TRUE
