"""Which datasets are proprietary, so that their metadata stay at the beamline."""

from __future__ import annotations

from scifish.dataset.compose import Record
from scifish.settings import Settings


def is_proprietary(proposal: str, category: str) -> bool:
    """Whether a proposal is proprietary. At MAX IV, proposals that begin with IN are."""
    return category == "proprietary" or proposal.strip().upper().startswith("IN")


def stays_here(record: Record, settings: Settings) -> bool:
    """Whether the metadata of a dataset must stay at the beamline, as far as is known."""
    proposal, place = record.text("proposalId").strip(), record.place
    # The category belongs to the proposal of the place.
    category = place.get("category", "") if proposal == place.get("proposalId", "").strip() else ""
    return not settings.send_proprietary and is_proprietary(proposal, category)


def lacks_proposal(record: Record, settings: Settings) -> bool:
    """Whether neither PathFixer nor the program has said whose a dataset is: then nobody knows who may see it.

    An answer of PathFixer without a proposal is one, and a beamline without PathFixer has none to wait for. An
    annotation goes where its dataset goes.
    """
    if "annotation" in record.given:
        return False
    said = record.text("proposalId").strip() or "proposalId" in record.place
    return bool(settings.path_fixer) and not settings.send_without_proposal and not said
