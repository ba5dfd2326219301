"""What is wrong with the rows of a draft: its own mistakes, and what the device's Validate has found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from scifish.configurations.check import ERROR, NOTE, WARNING
from taurus_widgets.scidog.data.draft import Draft, DraftRow

_LINE = re.compile(r"^[^,]+, line (\d+): (.*)$", re.DOTALL)
_SUGGESTION = re.compile(r"; did you mean '?([^?']+)'?\?")
_NOT_READ = "cannot be read now: "
"""The live column has the same, and newer."""

SEVERITY = (ERROR, WARNING, NOTE)


class RowFinding(NamedTuple):
    """One sentence about a row. `level` is one of `SEVERITY`; `fix` has the fields that would mend it."""

    level: str
    text: str
    fix: Mapping[str, Any] = {}

    @property
    def fix_text(self) -> str:
        return f"Use {', '.join(str(value).rpartition('/')[2] for value in self.fix.values())}" if self.fix else ""


def own_findings(draft: Draft) -> dict[int, list[RowFinding]]:
    """The mistakes of each row, by its key: known at once, without the device."""
    return {key: [RowFinding(ERROR, text) for text in texts] for key, texts in draft.mistakes().items()}


def device_findings(draft: Draft, answer: Mapping[str, Any]) -> dict[int, list[RowFinding]]:
    """The device's findings by key of the row. What the draft finds itself is not repeated."""
    by_name: dict[tuple[str, str], DraftRow] = {}
    for row in draft.rows:
        by_name.setdefault((row.group, row.name), row)
    own = draft.mistakes()
    found: dict[int, list[RowFinding]] = {}
    for finding in answer["findings"]:
        text, numbered = finding["text"], _LINE.match(finding["text"])
        if finding["name"]:
            known = by_name.get((finding["group"], finding["name"]))
            key = known.key if known else None
        else:
            key = draft.key_of_line(int(numbered[1])) if numbered else None
            text = numbered[2] if numbered else text
        if key is None or text.startswith(_NOT_READ) or (numbered and key in own):
            continue
        found.setdefault(key, []).append(RowFinding(finding["level"], text, _fix(draft.row(key), text)))
    for findings in found.values():
        findings.sort(key=lambda finding: SEVERITY.index(finding.level))
    return found


def _fix(row: DraftRow, text: str) -> dict[str, Any]:
    suggested = _SUGGESTION.search(text)
    if not suggested or not text.startswith("unknown attribute"):
        return {}
    return {"source": f"{row.source.rpartition('/')[0]}/{suggested[1]}"}
