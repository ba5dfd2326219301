"""Checks names that become part of a path. All checks of such names are here."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

CATEGORIES = ("visitors", "proprietary", "staff")
AUTO_VISIT = "auto"

MAX_SAMPLE_LENGTH = 255
MAX_FOLDER_NAME_LENGTH = 100  # a file system allows 255 bytes; detectors use the sample's name in file names

# A leading '-' looks like an option of a shell command; a leading '.' hides the folder.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
# Shares are also mounted on Windows, where these names are devices, even with an extension.
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class NameRefused(ValueError):
    """A name that must not become part of a path. The text says why."""


def check_name(name: str, what: str) -> str:
    """The name of one folder, unchanged. Raises NameRefused; `what` names it in the error."""
    if not _NAME.fullmatch(name):
        raise NameRefused(
            f"{what} {name!r} refused: use letters, digits, '_', '-' and '.', beginning with a letter, a digit or '_'"
        )
    if len(name) > MAX_FOLDER_NAME_LENGTH:
        raise NameRefused(f"{what} {name[:20]!r}... refused: it has more than {MAX_FOLDER_NAME_LENGTH} characters")
    if name.endswith(".") or is_windows_device(name):
        raise NameRefused(f"{what} {name!r} refused: Windows does not allow a folder of this name")
    return name


def is_windows_device(name: str) -> bool:
    return _WINDOWS_DEVICE.fullmatch(name) is not None


def check_sample(sample: str) -> str:
    """A sample's name, unchanged: one or more names with `/` between them, or "" for none.

    The official rule is letters, digits and '/'. '_', '-' and '.' are accepted too, because
    beamlines use names like `0000_setup`. Raises NameRefused.
    """
    if len(sample) > MAX_SAMPLE_LENGTH:
        raise NameRefused(f"sample {sample[:20]!r}... refused: it has more than {MAX_SAMPLE_LENGTH} characters")
    if sample.startswith("/"):
        raise NameRefused(f"sample {sample!r} refused: it is an absolute path; remove the first '/'")
    if sample:
        for part in sample.split("/"):
            check_name(part, "sample" if part == sample else f"sample {sample!r}: the part")
    return sample


def check_category(category: str) -> str:
    """One of `CATEGORIES`, unchanged. Raises NameRefused."""
    if category not in CATEGORIES:
        raise NameRefused(f"category {category!r} is not one of {', '.join(CATEGORIES)}")
    return category


def check_visit(visit: str) -> str:
    """A visit's name, unchanged. If it is all digits, it must be a date: YYYYMMDD, or YYYYMMDDHH at some beamlines."""
    check_name(visit, "visit")
    if visit.isdigit():
        try:
            dt.datetime.strptime(visit, "%Y%m%d%H" if len(visit) == 10 else "%Y%m%d")
        except ValueError as error:
            raise NameRefused(f"visit {visit!r} refused: it is not a date (YYYYMMDD)") from error
    return visit


def today() -> str:
    """The name of a visit that starts now: YYYYMMDD, local time."""
    return dt.datetime.now().strftime("%Y%m%d")


@dataclass(frozen=True)
class DataLocation:
    """The names that determine where data is stored, checked. Raises NameRefused."""

    category: str
    beamline: str
    proposal: str
    visit: str
    sample: str = ""

    def __post_init__(self) -> None:
        check_category(self.category)
        check_name(self.beamline, "beamline")
        check_name(self.proposal, "proposal")
        check_visit(self.visit)
        check_sample(self.sample)
