"""The user office as a YAML file: for a demo, a laboratory, or a beamline without a user office."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import yaml

from sdm.names import NameRefused, check_category, check_name, check_sample, check_visit
from sdm.office.model import (
    CATEGORY_OF,
    MAX_ABSTRACT_LENGTH,
    OfficeUnavailable,
    Proposal,
    UnknownProposal,
    Visit,
    category_of,
    one_line,
)
from sdm.yaml_nodes import Mistake, checked, located_errors, mapping, read, root_of, sequence, text, texts


class YamlOffice:
    """A YAML file in place of the user office: a list `proposals`, see docs/reference/user-office.md.

    The file is read again when it has changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_as: tuple[int, int, int] | None = None
        self._proposals: dict[str, Proposal] = {}

    @property
    def name(self) -> str:
        return str(self._path.absolute())

    def proposal(self, proposal_id: str) -> Proposal:
        found = self._current().get(proposal_id)
        if found is None:
            raise UnknownProposal(f"the user office ({self._path}) has no proposal {proposal_id!r}")
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        return sorted((one for one in self._current().values() if one.is_at(beamline)), key=lambda one: one.id)

    def _current(self) -> dict[str, Proposal]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise OfficeUnavailable(f"{self._path} cannot be read: {error}") from error
        read_as = (status.st_mtime_ns, status.st_size, status.st_ino)
        if read_as != self._read_as:
            self._proposals = proposals_of(str(self._path), read(self._path, OfficeUnavailable))
            self._read_as = read_as
        return self._proposals


def proposals_of(where: str, content: str) -> dict[str, Proposal]:
    """Raises OfficeUnavailable that names the file, the line and the field."""
    with located_errors(where, OfficeUnavailable):
        root = root_of(content)
        if root is None:
            return {}
        fields = mapping(root, "the file", ("proposals",))
        found: dict[str, Proposal] = {}
        for node in sequence(fields.get("proposals"), "proposals"):
            proposal = _proposal(node)
            if proposal.id in found:
                raise Mistake(node, f"proposal {proposal.id} is given twice")
            found[proposal.id] = proposal
        return found


_PI = "principal_investigator"
_FIELDS = (
    *("id", "title", "abstract", _PI, "type", "category", "beamline", "also_at"),
    *("members", "group", "visits", "samples"),
)


def _proposal(node: yaml.Node) -> Proposal:
    fields = mapping(node, "a proposal", _FIELDS)
    for name in ("id", "title", "beamline"):
        if name not in fields:
            raise Mistake(node, f"{name} is missing")
    number = checked(fields["id"], "id", lambda name: check_name(name, "id"))
    kind = one_line(text(fields.get("type"), "type"))
    leader = mapping(fields[_PI], _PI, ("name", "email")) if _PI in fields else {}
    return Proposal(
        id=number,
        title=one_line(text(fields["title"], "title")),
        beamline=checked(fields["beamline"], "beamline", _beamline),
        category=checked(fields.get("category"), "category", check_category) or category_of(kind, number, CATEGORY_OF),
        abstract=one_line(text(fields.get("abstract"), "abstract"), MAX_ABSTRACT_LENGTH),
        pi_name=one_line(text(leader.get("name"), f"{_PI}: name")),
        pi_email=one_line(text(leader.get("email"), f"{_PI}: email")),
        members=texts(fields.get("members"), "members", one_line),
        group=checked(fields.get("group"), "group", lambda name: check_name(name, "group")) or f"{number}-group",
        visits=tuple(_visit(one) for one in sequence(fields.get("visits"), "visits")),
        samples=texts(fields.get("samples"), "samples", check_sample),
        type=kind,
        also_at=texts(fields.get("also_at"), "also_at", _beamline),
    )


def _visit(node: yaml.Node) -> Visit:
    """`20250310`, or `{name, start, end, beamline}` with a name or a start."""
    if isinstance(node, yaml.ScalarNode):
        return Visit(checked(node, "visits", check_visit))
    fields = mapping(node, "a visit", ("name", "start", "end", "beamline"))
    start = checked(fields.get("start"), "visits: start", _day)
    end = checked(fields.get("end"), "visits: end", _day)
    if start and end and end < start:
        raise Mistake(fields["end"], f"visits: the end {end} is before the start {start}")
    name = checked(fields.get("name"), "visits: name", check_visit) or start.replace("-", "")
    if not name:
        raise Mistake(node, "visits: a visit needs a name or a start")
    return Visit(name, start, end, checked(fields.get("beamline"), "visits: beamline", _beamline))


def _beamline(name: str) -> str:
    return check_name(name, "beamline")


def _day(given: str) -> str:
    try:
        return dt.date.fromisoformat(given).isoformat()
    except ValueError as error:
        raise NameRefused(f"{given!r} is not a date (YYYY-MM-DD)") from error
