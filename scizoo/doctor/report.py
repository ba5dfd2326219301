"""What `scizoo doctor` has seen, as text for people and as JSON for programs, without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

OK, WRONG, NOT_CHECKED = "ok", "wrong", "not checked"
"""States of a part. `NOT_CHECKED`: it cannot be checked from here, which says nothing about it."""

MARKS = {OK: "ok   ", WRONG: "WRONG", NOT_CHECKED: "?    "}

MIN_SECRET_LENGTH = 3
"""Characters. A shorter text occurs in any sentence."""


@dataclass(frozen=True)
class PartReport:
    """One part of a beamline. `text` says how it is, `advice` what to do ("" for nothing); `facts` are for programs."""

    part: str
    state: str
    text: str
    advice: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BeamlineReport:
    """All parts, in the order in which they are shown. `about` is where, when and by which versions it was made."""

    about: Mapping[str, str]
    parts: tuple[PartReport, ...]
    secrets: tuple[str, ...] = ()
    """Texts that are not shown, whatever part has them."""

    @property
    def wrong(self) -> list[PartReport]:
        return [part for part in self.parts if part.state == WRONG]


def as_text(report: BeamlineReport) -> str:
    """Lines for people: a part a line, and below it what to do."""
    width = max(len(part.part) for part in report.parts)
    lines = [", ".join(f"{name} {value}" for name, value in report.about.items())]
    for part in report.parts:
        first, *more = part.text.splitlines() or [""]
        lines.append(f"{MARKS[part.state]}  {part.part:{width}}  {first}")
        indent = " " * (len(MARKS[OK]) + width + 4)
        lines += [indent + line for line in more]
        lines += [f"{indent}-> {line}" for line in part.advice.splitlines()]
    skipped = sum(part.state == NOT_CHECKED for part in report.parts)
    lines.append(
        f"{len(report.wrong)} of {len(report.parts)} parts are wrong, {skipped} could not be checked from here."
    )
    return _hidden("\n".join(lines), report.secrets)


def as_json(report: BeamlineReport) -> str:
    """One JSON object: `ok`, `about`, and for each part its state, text, advice and facts."""
    parts = {
        part.part: {**part.facts, "state": part.state, "text": part.text, "advice": part.advice}
        for part in report.parts
    }
    found = {"ok": not report.wrong, "about": dict(report.about), "parts": parts}
    return json.dumps(_all_hidden(found, report.secrets), indent=2)


def _all_hidden(value: Any, secrets: Iterable[str]) -> Any:
    if isinstance(value, str):
        return _hidden(value, secrets)
    if isinstance(value, Mapping):
        return {_hidden(str(name), secrets): _all_hidden(each, secrets) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_all_hidden(each, secrets) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else _hidden(str(value), secrets)


def _hidden(text: str, secrets: Iterable[str]) -> str:
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET_LENGTH:
            text = text.replace(secret, "***")
    return text
