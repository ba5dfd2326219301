"""Groups files into measurements, and names the datasets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from scifly.profiles import Profile, profile_of
from scifly.readers import stem
from scifly.watching import is_passing

SERIES_NUMBER = "#"
"""Replaces the running number in the path of a series."""

_LAST_NUMBER = re.compile(r"\d+(?=\D*\Z)")


def measurement_of(profile: Profile, relative_path: str) -> str:
    """The path that the files of a measurement share, relative to the root; "" for all files of the root itself.

    In a series, the number is the last one before the suffix: `img_0001.tif` and `img_0002.tif` are `img_#.tif`.
    """
    folder, slash, name = relative_path.rpartition("/")
    if profile.group == "folder":
        return folder
    if profile.group == "stem":
        return folder + slash + (stem(profile.reader, name) or name)
    if profile.group == "series":
        before, suffix = os.path.splitext(name)
        return folder + slash + _LAST_NUMBER.sub(SERIES_NUMBER, before) + suffix
    return relative_path


def name_of(profile: Profile, path: str) -> str:
    """The dataset's name. `path` is the absolute path of the measurement."""
    name = os.path.basename(path.rstrip("/")) or path
    if profile.group == "series":
        before = os.path.splitext(name)[0]
        return before.removesuffix(SERIES_NUMBER).rstrip("_-. ") or name
    return name


def below(path: str, root: str) -> str:
    """A path inside the root, relative to the root."""
    return path[len(root.rstrip("/")) + 1 :]


class FoundFiles:
    """The finished files that were found, by folder. Other files in the folder are not finished yet."""

    def __init__(self, profiles: Sequence[Profile]) -> None:
        self._profiles = profiles
        self._found: dict[str, set[str]] = {}

    def found(self, path: str) -> None:
        folder, _, name = path.rpartition("/")
        self._found.setdefault(folder, set()).add(name)

    def unfinished(self, folder: str, root: str) -> set[str]:
        """The absolute paths of the measurements with files in this folder that were not found yet.

        The set is empty if the folder is gone or cannot be read.
        """
        found = self._found.get(folder, set())
        relative = below(folder, root) if folder != root.rstrip("/") else ""
        waiting = set()
        for name in self._files(folder):
            if name not in found:
                path = f"{relative}/{name}" if relative else name
                profile = profile_of(self._profiles, path)
                if profile is not None:
                    waiting.add(os.path.join(root, measurement_of(profile, path)).rstrip("/"))
        return waiting

    def _files(self, folder: str) -> Iterator[str]:
        try:
            with os.scandir(folder or "/") as entries:
                for entry in entries:
                    if not is_passing(entry.name) and entry.is_file(follow_symlinks=False):
                        yield entry.name
        except OSError:
            return
