"""Data files: a compact record of the files of a scan, and the list of files of a dataset."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scifish.message import File, Message, iso, iso_of, plain
from scifish.native import threading

FILE_CHECK_SECONDS = 10.0
"""Maximum duration of the check of all files of a dataset."""

MAX_SERIES_FILES = 1_000_000
"""Maximum number of files in one series; a larger number is a mistake."""

_NUMBERS = re.compile(r"(\d+)")

_REFERENCE = re.compile(r"(?:h5)?file:(?://)?(/.*)", re.DOTALL | re.IGNORECASE)


# ---------------------------------------------------------------- while a scan runs


class FileReferences:
    """A compact record of the files that a channel of a scan writes.

    `add` takes a microsecond for the next frame of a series, or for the same file again.
    """

    def __init__(self) -> None:
        self._done: list[str | tuple[str, int, int, int, str]] = []
        self._last = ""
        self._prefix = self._suffix = ""
        self._first = self._count = self._width = 0

    def add(self, reference: str) -> None:
        """Add a file: a path, or a URL as `file:///data/img_0001.tif` or `h5file:///data/scan.h5::entry/data`."""
        path = path_of(reference)
        if path == self._last:
            return
        if self._count > 1 and path == self._named(self._first + self._count):
            self._count += 1
        elif not self._begin_series(path):
            self._close()
            self._count = 1
        self._last = path

    def files(self) -> list[Any]:
        """The files for `expand`: paths, and a mapping for each consecutive series. May be called at any time."""
        found: list[Any] = []
        for done in [*self._done, *self._current()]:
            if isinstance(done, str):
                found.append(done)
            else:
                prefix, width, first, count, suffix = done
                pattern = f"{_literal(prefix)}{{index:0{width}d}}{_literal(suffix)}"
                found.append({"pattern": pattern, "first": first, "count": count})
        return list({str(file): file for file in found}.values())

    def _named(self, index: int) -> str:
        return f"{self._prefix}{index:0{self._width}d}{self._suffix}"

    def _begin_series(self, path: str) -> bool:
        """Start a series if this file follows the last one, which is in no series; whether it did."""
        found = _step(self._last, path) if self._count == 1 else None
        if found is None:
            return False
        self._prefix, self._width, self._first, self._suffix = found
        self._count = 2
        return True

    def _current(self) -> list[str | tuple[str, int, int, int, str]]:
        if self._count > 1:
            return [(self._prefix, self._width, self._first, self._count, self._suffix)]
        return [self._last] if self._count else []

    def _close(self) -> None:
        self._done += self._current()


def path_of(reference: str) -> str:
    """The path of a file in a value reference of Sardana; any other text as it is."""
    found = _REFERENCE.match(reference)
    return found.group(1).partition("::")[0] if found else reference


def _step(before: str, after: str) -> tuple[str, int, int, str] | None:
    """How two names differ in one number: text before it, number of digits, value in the first name, text after it.

    None if they are not neighbours.
    """
    old, new = _NUMBERS.split(before), _NUMBERS.split(after)
    if len(old) != len(new):
        return None
    differing = [place for place, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    if len(differing) != 1 or differing[0] % 2 == 0:
        return None
    (place,) = differing
    first, width = int(old[place]), len(old[place])
    if f"{first + 1:0{width}d}" != new[place] or f"{first:0{width}d}" != old[place]:
        return None
    # `9` before `10` has no leading zeros to keep; `09` before `10` has.
    return "".join(old[:place]), width, first, "".join(old[place + 1 :])


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


# ------------------------------------------------------------ when a dataset is listed


def expand(files: Any) -> list[Any]:
    """Each file once, as a path or a mapping with `path`, in the given order.

    `files` is one or a list of: a path or URL; a mapping with `path`; or a series
    `{"pattern": "/data/img_{index:05d}.tif", "first": 0, "count": 5000}`. A series with a
    mistake is listed by its pattern, with `error`.
    """
    if files is None:
        return []
    each = list(files) if isinstance(files, list | tuple | set) else [files]
    found: dict[object, Any] = {}
    for number, file in enumerate(each):
        if isinstance(file, Mapping) and "pattern" in file:
            for one in _expanded(file):
                found.setdefault(_path(one), one)
        else:
            one = path_of(file) if isinstance(file, str) else file
            # Two files without a path are not the same file.
            found.setdefault(_path(one) or number, one)
    return list(found.values())


def _expanded(series: Mapping[str, Any]) -> Iterator[Any]:
    try:
        first, count = int(series["first"]), int(series["count"])
        if not 0 <= count <= MAX_SERIES_FILES:
            raise ValueError(f"{count} files")
        names = [str(series["pattern"]).format(index=index) for index in range(first, first + count)]
    except Exception as error:  # noqa: BLE001 - a pattern may raise any error
        why = f"{type(error).__name__}: {error}"
        yield {"path": str(series["pattern"]), "error": f"not a series of files: {why}"}
    else:
        yield from names


def _path(file: Any) -> str:
    """ "" if no path is given."""
    return str((file.get("path") if isinstance(file, Mapping) else file) or "")


def described(files: Sequence[Any], timeout: float = FILE_CHECK_SECONDS) -> list[File]:
    """`describe` of each file, in at most `timeout` seconds, also if a file server hangs.

    Files that were not checked in time are listed with `error`. A check that hangs stays in its thread; until the
    server answers it, no other check is started, and all files are listed with `error`.
    """
    return _checker.described(files, timeout)


class _FileCheck(threading.Thread):
    """Checks files one by one, until it is abandoned."""

    def __init__(self, files: Sequence[Any]) -> None:
        super().__init__(name="scifish-files", daemon=True)
        self.files = files
        self.done: list[File] = []
        self.abandoned = False

    def run(self) -> None:
        for file in self.files:
            found = describe(file)
            if self.abandoned:
                return
            self.done.append(found)

    @property
    def folder(self) -> str:
        """The folder of the file that is being checked."""
        return os.path.dirname(_path(self.files[min(len(self.done), len(self.files) - 1)])) or "the working folder"


class _FileChecker:
    """Runs one check at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hanging: _FileCheck | None = None

    def described(self, files: Sequence[Any], timeout: float) -> list[File]:
        if all(map(_is_known, files)):
            return [describe(file) for file in files]  # no file needs a check
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=timeout):
            return [describe(file, error="not checked: the files of another dataset took too long") for file in files]
        try:
            return self._check(files, deadline, timeout)
        finally:
            self._lock.release()

    def _check(self, files: Sequence[Any], deadline: float, timeout: float) -> list[File]:
        if self._hanging is not None and self._hanging.is_alive():
            why = f"not checked: {self._hanging.folder} still does not answer"
            return [describe(file, error=why) for file in files]
        self._hanging = None
        check = _FileCheck(files)
        check.start()
        check.join(max(deadline - time.monotonic(), 0.0))
        if check.is_alive():
            check.abandoned = True
            self._hanging = check
        done = list(check.done)
        why = f"not checked: {check.folder} did not answer within {timeout:g} s"
        return done + [describe(file, error=why) for file in files[len(done) :]]


_checker = _FileChecker()


def _forget_after_fork() -> None:
    # The thread that holds the lock does not exist in the child.
    global _checker
    _checker = _FileChecker()


os.register_at_fork(after_in_child=_forget_after_fork)


def describe(given: Any, now: float | None = None, error: str = "") -> File:
    """A file's path, time and size. `given` is its path, or a mapping that lacks some of these.

    A file that does not exist or cannot be checked is listed with `error`, and so is one with wrong values.
    If an `error` is given, the file is not checked.
    """
    known: Message = dict(given) if isinstance(given, Mapping) else {"path": given}
    problems: list[str] = []
    path = _path(known)
    when, size = _time(known.get("time"), problems), _size(known.get("size"), problems)
    found = None
    if known.get("error"):
        problems.append(str(known["error"]))
    elif not path:
        problems.append(f"no path is given: {plain(given)!s:.80}")
    elif size is None or not when:
        if error:
            problems.append(error)
        else:
            try:
                found = os.stat(path)
            except (OSError, ValueError) as failed:  # ValueError: a zero byte in the name
                problems.append(str(getattr(failed, "strerror", None) or failed))
    if size is None:
        size = found.st_size if found else 0
    described: File = {
        "path": path or "unknown",
        "time": when or iso(found.st_mtime if found else (now or time.time())),
        "size": size,
    }
    if problems:
        described["error"] = "; ".join(problems)
    return described


def _is_known(file: Any) -> bool:
    """Whether path, time and size are given and valid."""
    wrong: list[str] = []
    if not isinstance(file, Mapping) or not _path(file):
        return False
    return bool(_time(file.get("time"), wrong)) and _size(file.get("size"), wrong) is not None


def _not(given: Any, what: str) -> str:
    return f"{plain(given)!s:.80} is not {what}"


def _time(given: Any, problems: list[str]) -> str:
    """ "" if no time is given, or no valid one."""
    try:
        return iso_of(given) if given else ""
    except (ValueError, TypeError, OverflowError):
        problems.append(_not(given, "a time"))
        return ""


def _size(given: Any, problems: list[str]) -> int | None:
    """None if no size is given, or no valid one."""
    if given is None:
        return None
    try:
        size = int(given)
    except (ValueError, TypeError, OverflowError):
        size = -1
    if not 0 <= size < 2**63:
        problems.append(_not(given, "a size in bytes"))
        return None
    return size
