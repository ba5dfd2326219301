"""The alert rules of docs/reference/scicow.md, judged on metrics as Prometheus would."""

from __future__ import annotations

import re
from collections.abc import Mapping

import yaml

from tests.paths import DOCS

Metrics = Mapping[tuple[str, str], float]
"""By name and topic."""


def rules() -> dict[str, str]:
    """The expression of each alert."""
    page = (DOCS / "reference" / "scicow.md").read_text("utf-8")
    blocks = [yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)]
    groups = [group for block in blocks if isinstance(block, dict) for group in block.get("groups", [])]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def firing(metrics: Metrics | None, before: Metrics | None = None) -> set[str]:
    """The alerts whose expressions are true; None if no SciCow answers. An increase is that since `before`."""
    return {alert for alert, expression in rules().items() if _is_true(expression, metrics, before or {})}


def _is_true(expression: str, metrics: Metrics | None, before: Metrics) -> bool:
    if expression == 'absent(up{job="scicow"} == 1)':
        return metrics is None
    return any(_part_is_true(part, metrics or {}, before) for part in expression.split(" or "))


def _part_is_true(part: str, metrics: Metrics, before: Metrics) -> bool:
    found = re.fullmatch(
        r"(?:max|sum)(?: by \(topic\))? ?\((increase\()?(\w+)(?:\[\w+\]\))?( unless \2 offset \w+)?\) (>|==) (\d+)",
        part,
    )
    assert found, f"this kind of rule is not known here: {part}"
    increase, name, new, how, bound = found.groups()
    values = {topic: value for (metric, topic), value in metrics.items() if metric == name}
    if increase:
        # A series that is new has no increase for Prometheus, until it has grown.
        values = {topic: value - before.get((name, topic), value) for topic, value in values.items()}
    if new:
        values = {topic: value for topic, value in values.items() if (name, topic) not in before}
    return any(value > float(bound) if how == ">" else value == float(bound) for value in values.values())
