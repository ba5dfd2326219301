"""The proposals, samples and instruments that datasets refer to, created in SciCat if it does not have them."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ingest.scicat import Json, SciCat, SciCatError
from ingest.scicow.mapping.ownership import Ownership
from ingest.scicow.settings import wrong_email
from sdm.names import MAX_SAMPLE_LENGTH
from sdm.office import Proposal

log = logging.getLogger(__name__)

RETRY_REFUSED_SECONDS = 3600.0
"""Seconds until what SciCat refused is retried."""

MAX_SERVER_ERRORS = 3
"""The real backend answers some bad requests with 500, too: from this number on they count as permanent."""

MAX_REMEMBERED = 10_000


@dataclass(eq=False)
class _Reference:
    """The result of an attempt. `pid` is SciCat's; `status` is that of its refusal, 0 if it did not refuse."""

    pid: str = ""
    status: int = 0
    server_errors: int = 0
    until: float = float("inf")


class ReferenceRegistry:
    """Threads may share it, and other SciCows may do the same concurrently.

    Each is searched for, and created, once per process. What SciCat refuses is logged; the dataset is written all the
    same, with its `proposalId` and `sampleId`. A temporary failure is a SciCatError. Without `create` nothing is
    created, and only instruments are searched for.
    """

    def __init__(self, client: SciCat, create: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._create = create
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], _Reference] = OrderedDict()
        self._lock = threading.Lock()
        # One try at a time for each; that two of them share a lock is seldom, and harmless.
        self._turns = [threading.Lock() for _ in range(64)]

    def instrument(self, beamline: str) -> str:
        """The pid of the instrument whose pid, unique name or name is the beamline's; "" if there is none."""
        return self._once("instrument", beamline, lambda: self._instrument(beamline))

    def proposal(self, proposal: Proposal, whose: Ownership) -> None:
        """Create it with the data of the office, for the groups of its datasets."""
        if self._create:
            self._once("proposal", proposal.id, lambda: self._proposal(_proposal_fields(proposal, whose)))

    def sample(self, sample_id: str, proposal_id: str, whose: Ownership) -> None:
        """Create it for the groups of its dataset. `proposal_id` may be ""."""
        if self._create and _is_sample(sample_id):
            self._once("sample", sample_id, lambda: self._sample(_sample_fields(sample_id, proposal_id, whose)))

    # ---------------------------------------------------------------- private

    def _once(self, kind: str, key: str, make: Callable[[], str]) -> str:
        with self._turns[hash((kind, key)) % len(self._turns)]:
            known = self._remembered(kind, key)
            if self._clock() < known.until:
                return known.pid
            try:
                known.pid, known.status, known.server_errors, known.until = make(), 0, 0, float("inf")
            except SciCatError as error:
                known.server_errors += error.status == 500
                if error.temporary and known.server_errors < MAX_SERVER_ERRORS:
                    raise
                if known.status != error.status:
                    log.warning("SciCat has no %s %r, and refuses to create it: %s%s", kind, key, error, _hint(error))
                known.status, known.server_errors, known.until = error.status, 0, self._clock() + RETRY_REFUSED_SECONDS
            return known.pid

    def _remembered(self, kind: str, key: str) -> _Reference:
        with self._lock:
            known = self._known.setdefault((kind, key), _Reference(until=0.0))
            self._known.move_to_end((kind, key))
            if len(self._known) > MAX_REMEMBERED:
                self._known.popitem(last=False)
            return known

    def _proposal(self, fields: Json) -> str:
        if self._client.proposal(fields["proposalId"]) is None and self._client.create_proposal(fields):
            log.info("proposal %s was created in SciCat", fields["proposalId"])
        return str(fields["proposalId"])

    def _sample(self, fields: Json) -> str:
        if self._client.sample(fields["sampleId"]) is None and self._client.create_sample(fields):
            log.info("sample %r was created in SciCat", fields["sampleId"])
        return str(fields["sampleId"])

    def _instrument(self, beamline: str) -> str:
        there = self._instrument_there(beamline)
        if there or not self._create:
            return there
        if self._client.create_instrument({"uniqueName": beamline, "name": beamline}):
            log.info("instrument %s was created in SciCat", beamline)
        return self._instrument_there(beamline)  # its pid is SciCat's

    def _instrument_there(self, beamline: str) -> str:
        # All of them, as none of SciCat's filters finds CoSAXS for cosaxs in each of its versions.
        found = self._client.instruments()
        for field in ("pid", "uniqueName", "name"):
            for one in found:
                if str(one.get(field, "")).lower() == beamline.lower():
                    return str(one["pid"])
        return ""


def _hint(error: SciCatError) -> str:
    allowed = "; an account in SciCat's ADMIN_GROUPS may do this" if error.status in (401, 403) else ""
    return f"{allowed}. Datasets are written without it"


def _proposal_fields(proposal: Proposal, whose: Ownership) -> Json:
    """The fields that each version of SciCat accepts, without empty ones, which SciCat refuses."""
    first, _, last = proposal.pi_name.rpartition(" ")
    optional = {
        "abstract": proposal.abstract,
        "pi_firstname": first,
        "pi_lastname": last,
        "pi_email": "" if wrong_email(proposal.pi_email) else proposal.pi_email,
    }
    return {
        "proposalId": proposal.id,
        "email": whose.contact_email,
        "title": proposal.title or f"Proposal {proposal.id}",
        "ownerGroup": whose.owner_group,
        "accessGroups": list(whose.access_groups),
        **{name: value for name, value in optional.items() if value},
    }


def _sample_fields(sample_id: str, proposal_id: str, whose: Ownership) -> Json:
    return {
        "sampleId": sample_id,
        "description": sample_id,  # for people: SciCat knows no name of a sample
        "owner": whose.owner,
        "ownerGroup": whose.owner_group,
        "accessGroups": list(whose.access_groups),
        **({"proposalId": proposal_id} if proposal_id else {}),
    }


def _is_sample(sample_id: str) -> bool:
    """Whether it can be in SciCat: `.` and `..` have another meaning in a URL, and no name has control characters."""
    return bool(sample_id.strip(". ")) and sample_id.isprintable() and len(sample_id) <= MAX_SAMPLE_LENGTH
