"""An office that answers with what it said before while it cannot be asked."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sdm.proposal import Office, OfficeError, OfficeRefused, OfficeUnavailable, Proposal, UnknownProposal, Visit

_log = logging.getLogger(__name__)

_Proposals = dict[str, Proposal]


class RememberingOffice:
    """An office whose answers are kept in a file, for a time when it cannot be asked or refuses us.

    What it says it does not have is forgotten. The file holds names and addresses of people,
    and is readable by its owner only.
    """

    def __init__(self, office: Office, file: Path) -> None:
        self._office = office
        self._file = file
        self._lock = threading.Lock()

    def proposal(self, proposal_id: str) -> Proposal:
        """As of now, or with `as_of` and `trouble` if only an older answer can be had."""
        try:
            found = self._office.proposal(proposal_id)
        except UnknownProposal:
            self._change(lambda kept: {number: one for number, one in kept.items() if number != proposal_id})
            raise
        except (OfficeUnavailable, OfficeRefused) as error:
            before = self._kept().get(proposal_id)
            if before is None:
                raise
            return _remembered(before, error)
        self._change(lambda kept: kept | {found.id: _dated(found)})
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        try:
            found = self._office.proposals(beamline)
        except (OfficeUnavailable, OfficeRefused) as error:
            before = [_remembered(one, error) for one in self._kept().values() if one.is_at(beamline)]
            if not before:
                raise
            return sorted(before, key=lambda one: one.id)
        self._change(lambda kept: kept | {one.id: _dated(one) for one in found if not _says_less(one, kept)})
        return found

    def _kept(self) -> _Proposals:
        try:
            kept = json.loads(self._file.read_text("utf-8"))
            return {number: _from_json(fields) for number, fields in kept.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            _log.warning("what the user office said before cannot be read from %s: %s", self._file, error)
            return {}

    def _change(self, change: Callable[[_Proposals], _Proposals]) -> None:
        with self._lock:
            before = self._kept()
            after = change(before)
            if after == before:
                return
            try:
                _write(self._file, json.dumps({number: asdict(one) for number, one in after.items()}))
            except OSError as error:
                # The answer is good all the same; only a later one may have to do without it.
                _log.warning("what the user office says cannot be kept in %s: %s", self._file, error)


def _dated(found: Proposal) -> Proposal:
    return replace(found, as_of=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"))


def _remembered(before: Proposal, error: OfficeError) -> Proposal:
    return replace(before, trouble=str(error))


def _says_less(listed: Proposal, kept: _Proposals) -> bool:
    """Lists of offices are often without members, visits and samples: the fuller answer is kept."""
    before = kept.get(listed.id)
    if before is None:
        return False
    said = asdict(listed)
    return any(value and not said[name] for name, value in asdict(before).items() if name != "as_of")


def _from_json(fields: dict[str, Any]) -> Proposal:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Proposal(**{**values, "visits": tuple(Visit(**one) for one in values.get("visits", ()))})


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and readable by the owner only, as mkstemp makes it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
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
    """Where answers are kept if nothing else is said: the user's folder for state, by the XDG specification."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "state") / "sdm" / "proposals.json"
