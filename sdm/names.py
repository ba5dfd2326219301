"""The names that become part of a path: each is checked here, and nowhere else."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

CATEGORIES = ("visitors", "proprietary", "staff")
AUTO_VISIT = "auto"

LONGEST_SAMPLE = 255
LONGEST_NAME = 100  # a file system takes 255 bytes; detectors make file names out of the sample's

# A leading '-' is an option to a shell's command, a leading '.' hides the folder.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
# Shares are mounted on Windows too, where these are devices, also with an extension.
_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class NameRefused(ValueError):
    """A name that must not become part of a path. The text says why."""


def check_name(name: str, what: str) -> str:
    """The name of one folder, unchanged. Raises NameRefused; `what` is how the error calls it."""
    if not _NAME.fullmatch(name):
        raise NameRefused(
            f"{what} {name!r} refused: use letters, digits, '_', '-' and '.', beginning with a letter, a digit or '_'"
        )
    if len(name) > LONGEST_NAME:
        raise NameRefused(f"{what} {name[:20]!r}... refused: it has more than {LONGEST_NAME} characters")
    if name.endswith(".") or is_windows_device(name):
        raise NameRefused(f"{what} {name!r} refused: Windows has no folder of that name")
    return name


def is_windows_device(name: str) -> bool:
    return _WINDOWS_DEVICE.fullmatch(name) is not None


def check_sample(sample: str) -> str:
    """A sample's name, unchanged: one or more names with `/` between them, or "" for none.

    The rule in use is letters, digits and '/'; '_', '-' and '.' are taken as well, since
    beamlines use names like `0000_setup`. Raises NameRefused.
    """
    if len(sample) > LONGEST_SAMPLE:
        raise NameRefused(f"sample {sample[:20]!r}... refused: it has more than {LONGEST_SAMPLE} characters")
    if sample.startswith("/"):
        raise NameRefused(f"sample {sample!r} refused: it is an absolute path; leave the first '/' out")
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
    """A name that, if it is all digits, begins with a date: YYYYMMDD, or YYYYMMDDHH as some beamlines have it."""
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
class Place:
    """Whose data: the names that make up a path, checked. Raises NameRefused."""

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
