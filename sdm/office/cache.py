"""An office whose last answers are used while it cannot be asked."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from sdm.office.model import (
    Office,
    OfficeError,
    OfficeRefused,
    OfficeUnavailable,
    Proposal,
    UnknownProposal,
    Visit,
    ago,
    as_of_now,
)

_log = logging.getLogger(__name__)

_Proposals = dict[str, Proposal]

LOCK_WAIT_SECONDS = 2.0
"""How long to wait for another process that changes the file. A change takes milliseconds, unless the disk hangs."""


class RememberingOffice:
    """An office whose answers are stored in a file, for when it cannot be asked or refuses access.

    A proposal that the office no longer has is unknown, but its stored answer is not deleted: a wrong address
    or a broken proxy would also answer so for every proposal. The stored answer gets a `trouble` that says it.

    Several offices may share a file: each has its own answers in it. Several processes may share it, too. The
    file holds people's names and addresses, and only its owner can read it. `trouble` says why the last
    answer could not be stored, "" if it was stored.
    """

    def __init__(self, office: Office, file: Path) -> None:
        self._office = office
        self._file = file
        self._lock = threading.Lock()
        self.trouble = ""

    @property
    def name(self) -> str:
        return self._office.name

    def proposal(self, proposal_id: str) -> Proposal:
        """The current answer, or a stored one, with `as_of` and `trouble`."""
        try:
            found = self._office.proposal(proposal_id)
        except UnknownProposal as error:
            before = self._load()[self.name].get(proposal_id)
            if before is None:
                raise
            self._update(lambda stored: stored | _marked_missing(stored.get(proposal_id)))
            raise UnknownProposal(
                f"{error}; the office had it {ago(before.as_of)}: is the office's address right?"
            ) from error
        except (OfficeUnavailable, OfficeRefused) as error:
            before = self._load()[self.name].get(proposal_id)
            if before is None:
                raise
            return _from_cache(before, error)
        self._update(lambda stored: stored | {found.id: _with_date(found)})
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        try:
            found = self._office.proposals(beamline)
        except (OfficeUnavailable, OfficeRefused) as error:
            before = [_from_cache(one, error) for one in self._load()[self.name].values()]
            before = [one for one in before if one.is_at(beamline)]
            if not before:
                raise
            return sorted(before, key=lambda one: one.id)
        self._update(lambda stored: stored | {one.id: _merged(one, stored.get(one.id)) for one in found})
        return found

    def _load(self) -> dict[str, _Proposals]:
        """The stored answers by the office's name; this office is always in it."""
        ours: dict[str, _Proposals] = {self.name: {}}
        try:
            _check_regular(self._file)
            stored = json.loads(self._file.read_text("utf-8"))
            return ours | {
                office: {number: _from_json(fields) for number, fields in proposals.items()}
                for office, proposals in stored.items()
            }
        except FileNotFoundError:
            return ours
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("the stored answers of the user office cannot be read from %s: %s", self._file, error)
            return ours

    def _update(self, change: Callable[[_Proposals], _Proposals]) -> None:
        try:
            with self._lock, _locked(self._file):
                before = self._load()
                after = before | {self.name: change(before[self.name])}
                if after != before:
                    shown = {
                        office: {number: asdict(one) for number, one in proposals.items()}
                        for office, proposals in after.items()
                    }
                    _write_atomically(self._file, json.dumps(shown))
            self.trouble = ""
        except OSError as error:
            # The answer itself is valid; it is only missing if the office cannot be asked later.
            self.trouble = f"the user office's answers cannot be stored in {self._file}: {error}"
            _log.warning("%s", self.trouble)


def _with_date(found: Proposal) -> Proposal:
    return replace(found, as_of=as_of_now())


def _from_cache(before: Proposal, error: OfficeError) -> Proposal:
    return replace(before, trouble="; ".join(filter(None, (str(error), before.trouble))))


def _marked_missing(before: Proposal | None) -> _Proposals:
    """The stored answer, with the time when the office first reported the proposal as missing."""
    if before is None:
        return {}
    trouble = before.trouble or f"at {as_of_now()} the office reported that it does not have it"
    return {before.id: replace(before, trouble=trouble)}


def _merged(listed: Proposal, before: Proposal | None) -> Proposal:
    """Offices' lists often lack members, visits and samples: then the stored answer is kept.

    But a proposal that is now proprietary becomes so: otherwise its metadata would get into the catalogue.
    """
    new = asdict(listed)
    own = ("as_of", "trouble")
    if before and any(value and not new[name] for name, value in asdict(before).items() if name not in own):
        return replace(before, category=listed.category if listed.proprietary else before.category, trouble="")
    return _with_date(listed)


def _from_json(fields: dict[str, Any]) -> Proposal:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    stored = Proposal(**{**values, "visits": tuple(Visit(**one) for one in values.get("visits", ()))})
    texts = [one for value in vars(stored).values() for one in (value if isinstance(value, tuple) else (value,))]
    texts += [text for visit in stored.visits for text in vars(visit).values()]
    if not all(isinstance(one, str | Visit) for one in texts):
        raise ValueError("a value is not a text")
    ago(stored.as_of)  # raises ValueError, TypeError if it is not a time
    return stored


def _check_regular(path: Path) -> None:
    """Refuse a device file, which must not be replaced, and a pipe, which would block. Raises OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a regular file")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file, so that no other process changes it. The lock is a file of its own, because each
    change replaces the file.

    Raises OSError, also if another process holds the lock for too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        _check_regular(path)
    until = time.monotonic() + LOCK_WAIT_SECONDS
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"another process has held its lock for {LOCK_WAIT_SECONDS:g} s") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)  # which releases the lock


def _write_atomically(path: Path, text: str) -> None:
    """Write the whole file or nothing. Only its owner can read it, as mkstemp makes it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # otherwise the file may be empty after a power failure
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def memory_file() -> Path:
    """Where answers are stored by default: in the user's state folder, by the XDG specification.

    Raises OfficeError for an account without a home folder.
    """
    try:
        return user_state_path("sdm") / "proposals.json"
    except RuntimeError as error:
        raise OfficeError(
            "this account has no home folder to store the office's answers in: give a file (--memory), "
            "or set XDG_STATE_HOME"
        ) from error
