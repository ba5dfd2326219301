"""An office that answers with what it said before while it cannot be asked."""

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

LOCK = 2.0
"""Seconds that another process may take to change the file. It takes milliseconds, unless its disk hangs."""


class RememberingOffice:
    """An office whose answers are kept in a file, for a time when it cannot be asked or refuses us.

    What it says it does not have is unknown, but not forgotten: a wrong address, and a proxy that is
    broken, say the same of all there is. The answer from before has it as its `trouble` then.

    Several offices may share a file: each has its own answers in it. Processes may, too. The file
    holds names and addresses of people, and is readable by its owner only. `trouble` says why the last
    answer could not be kept, "" if it was.
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
        """As of now, or with `as_of` and `trouble` if only an older answer can be had."""
        try:
            found = self._office.proposal(proposal_id)
        except UnknownProposal as error:
            before = self._kept()[self.name].get(proposal_id)
            if before is None:
                raise
            self._change(lambda kept: kept | _marked(kept.get(proposal_id)))
            raise UnknownProposal(f"{error}; {ago(before.as_of)} it had it: is the office's address right?") from error
        except (OfficeUnavailable, OfficeRefused) as error:
            before = self._kept()[self.name].get(proposal_id)
            if before is None:
                raise
            return _remembered(before, error)
        self._change(lambda kept: kept | {found.id: _dated(found)})
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        try:
            found = self._office.proposals(beamline)
        except (OfficeUnavailable, OfficeRefused) as error:
            before = [_remembered(one, error) for one in self._kept()[self.name].values()]
            before = [one for one in before if one.is_at(beamline)]
            if not before:
                raise
            return sorted(before, key=lambda one: one.id)
        self._change(lambda kept: kept | {one.id: _fuller(one, kept.get(one.id)) for one in found})
        return found

    def _kept(self) -> dict[str, _Proposals]:
        """By the office's name; ours is there, be it empty."""
        ours: dict[str, _Proposals] = {self.name: {}}
        try:
            _check_regular(self._file)
            kept = json.loads(self._file.read_text("utf-8"))
            return ours | {
                office: {number: _from_json(fields) for number, fields in proposals.items()}
                for office, proposals in kept.items()
            }
        except FileNotFoundError:
            return ours
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("what the user office said before cannot be read from %s: %s", self._file, error)
            return ours

    def _change(self, change: Callable[[_Proposals], _Proposals]) -> None:
        try:
            with self._lock, _alone(self._file):
                before = self._kept()
                after = before | {self.name: change(before[self.name])}
                if after != before:
                    shown = {
                        office: {number: asdict(one) for number, one in proposals.items()}
                        for office, proposals in after.items()
                    }
                    _write(self._file, json.dumps(shown))
            self.trouble = ""
        except OSError as error:
            # The answer is good all the same; only a later one may have to do without it.
            self.trouble = f"what the user office says cannot be kept in {self._file}: {error}"
            _log.warning("%s", self.trouble)


def _dated(found: Proposal) -> Proposal:
    return replace(found, as_of=as_of_now())


def _remembered(before: Proposal, error: OfficeError) -> Proposal:
    return replace(before, trouble="; ".join(filter(None, (str(error), before.trouble))))


def _marked(before: Proposal | None) -> _Proposals:
    """With the day on which the office first said that it does not have it."""
    if before is None:
        return {}
    said = before.trouble or f"at {as_of_now()} the office said that it does not have it"
    return {before.id: replace(before, trouble=said)}


def _fuller(listed: Proposal, before: Proposal | None) -> Proposal:
    """Lists of offices are often without members, visits and samples: then the answer from before is kept.

    But not that a proposal was not proprietary, as its metadata would get into the catalogue.
    """
    said = asdict(listed)
    own = ("as_of", "trouble")
    if before and any(value and not said[name] for name, value in asdict(before).items() if name not in own):
        return replace(before, category=listed.category if listed.proprietary else before.category, trouble="")
    return _dated(listed)


def _from_json(fields: dict[str, Any]) -> Proposal:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    kept = Proposal(**{**values, "visits": tuple(Visit(**one) for one in values.get("visits", ()))})
    texts = [one for value in vars(kept).values() for one in (value if isinstance(value, tuple) else (value,))]
    texts += [text for visit in kept.visits for text in vars(visit).values()]
    if not all(isinstance(one, str | Visit) for one in texts):
        raise ValueError("something else is there in place of a text")
    ago(kept.as_of)  # raises ValueError, TypeError if it is no time
    return kept


def _check_regular(path: Path) -> None:
    """A device is not to be replaced, and a pipe not to be waited for. Raises OSError."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("it is not a regular file")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While no other process changes the file. It has a lock beside it, as each change makes a new file.

    Raises OSError, also if another process keeps it for too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(FileNotFoundError):
        _check_regular(path)
    until = time.monotonic() + LOCK
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"another process has kept its lock for {LOCK:g} s") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)  # which lets go of the lock


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and readable by the owner only, as mkstemp makes it."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # else a loss of power may leave the new name with nothing in it
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def memory_file() -> Path:
    """Where answers are kept if nothing else is said: the user's folder for state, by the XDG specification.

    Raises OfficeError for an account without a home.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        return (state if state.is_absolute() else Path.home() / ".local" / "state") / "sdm" / "proposals.json"
    except RuntimeError as error:
        raise OfficeError(
            "this account has no home folder to keep the office's answers in: name a file (--memory), "
            "or set XDG_STATE_HOME"
        ) from error
