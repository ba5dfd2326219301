"""Proposals, as the user office knows them.

`Office` is what the rest of the project speaks to. `YamlOffice` reads a file; `RememberingOffice`
stands before any office and answers with what it said before while it cannot be asked.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import yaml

from sdm.layout import NameRefused, check_category, check_name, check_sample

_log = logging.getLogger(__name__)

PROPRIETARY_CODE = "IN"
"""What the number of a proprietary proposal begins with."""


class OfficeError(Exception):
    """What was asked cannot be answered. The text says what to do."""


class UnknownProposal(OfficeError):
    """The office has no such proposal."""


class WrongBeamline(OfficeError):
    """The proposal is another beamline's."""


class OfficeUnavailable(OfficeError):
    """The office cannot be asked now, or its answer cannot be understood."""


@dataclass(frozen=True)
class Proposal:
    """One proposal, of one of the categories of `sdm.layout`.

    `as_of` is "" for an answer just given, else when the office gave it (UTC, ISO 8601).
    """

    id: str
    title: str
    beamline: str
    category: str = "visitors"
    abstract: str = ""
    pi_name: str = ""
    pi_email: str = ""
    members: tuple[str, ...] = ()
    group: str = ""
    visits: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()
    as_of: str = ""

    @property
    def proprietary(self) -> bool:
        """Whether its metadata stays out of the catalogue: by its category, or by its number."""
        return self.category == "proprietary" or self.id.upper().startswith(PROPRIETARY_CODE)


class Office(Protocol):
    def proposal(self, proposal_id: str) -> Proposal:
        """One proposal. Raises UnknownProposal, OfficeUnavailable."""

    def proposals(self, beamline: str) -> list[Proposal]:
        """The beamline's proposals, by their number. Raises OfficeUnavailable."""


def office_from(address: str) -> Office:
    """The office of a setting: `yaml:/path/proposals.yaml`. Raises OfficeError for any other."""
    kind, colon, place = address.partition(":")
    if kind == "yaml" and colon and place:
        return YamlOffice(Path(place))
    if not address:
        raise OfficeError("the user office is not set: give its address, as yaml:/path/proposals.yaml")
    raise OfficeError(f"user office {address!r} is not of the form yaml:/path/proposals.yaml")


def proposal_at(office: Office, proposal_id: str, beamline: str) -> Proposal:
    """A proposal of this beamline. Raises WrongBeamline, UnknownProposal, OfficeUnavailable."""
    found = office.proposal(proposal_id)
    if found.beamline.lower() != beamline.lower():
        raise WrongBeamline(f"proposal {proposal_id} is for the beamline {found.beamline}, not {beamline}")
    return found


# --------------------------------------------------------------------------- a file


class YamlOffice:
    """A YAML file that stands for the user office: a list `proposals`, see deploy/demo/proposals.yaml.

    Each has `id`, `title` and `beamline`; the rest of the fields are optional: `abstract`,
    `principal_investigator` {name, email}, `category` (visitors), `members`, `group`
    (`<id>-group`), `visits`, `samples`. The file is read again when it has changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_as: tuple[int, int, int] | None = None
        self._proposals: dict[str, Proposal] = {}

    def proposal(self, proposal_id: str) -> Proposal:
        found = self._current().get(proposal_id)
        if found is None:
            raise UnknownProposal(f"the user office ({self._path}) has no proposal {proposal_id!r}")
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        all_of_them = self._current().values()
        return sorted((one for one in all_of_them if one.beamline.lower() == beamline.lower()), key=lambda one: one.id)

    def _current(self) -> dict[str, Proposal]:
        try:
            status = self._path.stat()
            read_as = (status.st_mtime_ns, status.st_size, status.st_ino)
            if read_as != self._read_as:
                self._proposals = _read(self._path, self._path.read_text("utf-8"))
                self._read_as = read_as
        except (OSError, UnicodeDecodeError) as error:
            raise OfficeUnavailable(f"{self._path} cannot be read: {error}") from error
        return self._proposals


class _Mistake(Exception):
    def __init__(self, node: yaml.Node, text: str) -> None:
        super().__init__(text)
        self.line = node.start_mark.line + 1


def _read(path: Path, text: str) -> dict[str, Proposal]:
    """Raises OfficeUnavailable that names the file, the line and the field."""
    try:
        # The nodes and not the values: they know their lines, and 20250001 stays a text.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return _proposals(root)
    except _Mistake as mistake:
        raise OfficeUnavailable(f"{path}, line {mistake.line}: {mistake}") from mistake
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise OfficeUnavailable(f"{path}, line {line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:  # characters that YAML does not have: it knows no line
        raise OfficeUnavailable(f"{path}: not YAML: {error}") from error


def _proposals(root: yaml.Node | None) -> dict[str, Proposal]:
    if root is None:
        return {}
    fields = _mapping(root, "the file", ("proposals",))
    found: dict[str, Proposal] = {}
    for node in _sequence(fields.get("proposals"), "proposals"):
        proposal = _proposal(node)
        if proposal.id in found:
            raise _Mistake(node, f"proposal {proposal.id} is there twice")
        found[proposal.id] = proposal
    return found


_PI = "principal_investigator"
_FIELDS = (
    *("id", "title", "abstract", _PI, "category", "beamline"),
    *("members", "group", "visits", "samples"),
)


def _proposal(node: yaml.Node) -> Proposal:
    fields = _mapping(node, "a proposal", _FIELDS)
    for name in ("id", "title", "beamline"):
        if name not in fields:
            raise _Mistake(node, f"{name} is missing")
    number = _checked(fields["id"], "id", lambda text: check_name(text, "id"))
    category = _checked(fields.get("category"), "category", check_category) or "visitors"
    leader = _mapping(fields[_PI], _PI, ("name", "email")) if _PI in fields else {}
    return Proposal(
        id=number,
        title=_text(fields["title"], "title"),
        beamline=_checked(fields["beamline"], "beamline", lambda text: check_name(text, "beamline")),
        category=category,
        abstract=_text(fields.get("abstract"), "abstract"),
        pi_name=_text(leader.get("name"), f"{_PI}: name"),
        pi_email=_text(leader.get("email"), f"{_PI}: email"),
        members=_texts(fields.get("members"), "members", str),
        group=_checked(fields.get("group"), "group", lambda text: check_name(text, "group")) or f"{number}-group",
        visits=_texts(fields.get("visits"), "visits", lambda text: check_name(text, "visit")),
        samples=_texts(fields.get("samples"), "samples", check_sample),
    )


def _mapping(node: yaml.Node, what: str, known: Sequence[str]) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise _Mistake(node, f"{what} is not of the form 'field: value'")
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if key.value not in known:
            raise _Mistake(key, f"{key.value!r} is not a field of {what}; known are {', '.join(known)}")
        fields[key.value] = value
    return fields


def _sequence(node: yaml.Node | None, what: str) -> list[yaml.Node]:
    if node is None:
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise _Mistake(node, f"{what} is not a list")
    return list(node.value)


def _text(node: yaml.Node | None, what: str) -> str:
    if node is None:
        return ""
    if not isinstance(node, yaml.ScalarNode):
        raise _Mistake(node, f"{what} is not a text")
    return str(node.value)


def _checked(node: yaml.Node | None, what: str, check: Callable[[str], str]) -> str:
    if node is None:
        return ""
    try:
        return check(_text(node, what))
    except NameRefused as error:
        raise _Mistake(node, f"{what}: {error}") from error


def _texts(node: yaml.Node | None, what: str, check: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(_checked(one, what, check) for one in _sequence(node, what))


# --------------------------------------------------------------------------- memory


class RememberingOffice:
    """An office whose answers are kept in a file, for a time when it cannot be asked.

    The file holds names and addresses of people, and is readable by its owner only.
    """

    def __init__(self, office: Office, file: Path) -> None:
        self._office = office
        self._file = file
        self._lock = threading.Lock()

    def proposal(self, proposal_id: str) -> Proposal:
        """As of now, or with `as_of` if only an older answer can be had."""
        try:
            found = self._office.proposal(proposal_id)
        except OfficeUnavailable:
            kept = self._kept().get(proposal_id)
            if kept is None:
                raise
            return kept
        self._keep([found])
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        try:
            found = self._office.proposals(beamline)
        except OfficeUnavailable:
            kept = [one for one in self._kept().values() if one.beamline.lower() == beamline.lower()]
            if not kept:
                raise
            return sorted(kept, key=lambda one: one.id)
        self._keep(found)
        return found

    def _kept(self) -> dict[str, Proposal]:
        try:
            kept = json.loads(self._file.read_text("utf-8"))
            return {number: _from_json(fields) for number, fields in kept.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            _log.warning("what the user office said before cannot be read from %s: %s", self._file, error)
            return {}

    def _keep(self, proposals: list[Proposal]) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        with self._lock:
            kept = self._kept() | {one.id: replace(one, as_of=now) for one in proposals}
            try:
                _write(self._file, json.dumps({number: asdict(one) for number, one in kept.items()}))
            except OSError as error:
                # The answer is good all the same; only a later one may have to do without it.
                _log.warning("what the user office says cannot be kept in %s: %s", self._file, error)


def _from_json(fields: dict[str, Any]) -> Proposal:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Proposal(**values)


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and readable by the owner only, as mkstemp makes it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def memory_file() -> Path:
    """Where answers are kept if nothing else is said: the user's folder for state, by the XDG specification."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local" / "state") / "sdm" / "proposals.json"
