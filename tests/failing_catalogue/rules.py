"""Which calls fail, and how: rules, read from YAML. docs/reference/embedded-faults.md says what a rule is."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any

import yaml

FAULT_ACTIONS = {
    "answer": "answer with the status, and do nothing else",
    "answer_after": "carry the request out, then answer with the status",
    "slow": "wait for `seconds`, then continue as usual",
    "cut": "close the connection, and do nothing else",
    "cut_after": "carry the request out, then close the connection without an answer",
    "cut_body": "carry the request out, then close the connection in the middle of the answer",
    "hang": "do and answer nothing until the client closes the connection",
    "html": "answer with the status and a page like a proxy's, and do nothing else",
    "expire": "make all present tokens invalid, then continue as usual",
}


class FaultsError(Exception):
    """The rules cannot be used. The text says which file, line and field, and what to do."""


@dataclass(frozen=True)
class FaultRule:
    """What (`do`) happens to which calls: those of `method` (`""` is any) whose decoded path `path` is found in.

    Of these the `nth` (1 is the first), each `every`-th, or a random `fraction` of them; all without any of
    the three. At most `times` times (0: no limit). `status` and `seconds` are those of `do`.
    """

    do: str
    method: str = ""
    path: str = ""
    nth: int = 0
    every: int = 0
    fraction: float = 0.0
    seed: int = 0
    times: int = 0
    status: int = 0
    body: str | None = None
    seconds: float = 0.0


@dataclass
class _InForce:
    """A rule and what has come of it."""

    rule: FaultRule
    seen: int = 0
    done: int = 0
    pattern: re.Pattern[str] = field(init=False)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.pattern = re.compile(self.rule.path)
        self.chance = random.Random(self.rule.seed)

    def is_due(self, method: str, path: str) -> bool:
        rule = self.rule
        if (rule.method and rule.method != method) or not self.pattern.search(path):
            return False
        self.seen += 1
        if rule.times and self.done >= rule.times:
            return False
        if rule.nth:
            due = self.seen == rule.nth
        elif rule.every:
            due = self.seen % rule.every == 0
        else:
            due = not rule.fraction or self.chance.random() < rule.fraction
        self.done += due
        return due

    def shown(self) -> dict[str, Any]:
        given = {each: getattr(self.rule, each.name) for each in fields(FaultRule)}
        said = {each.name: value for each, value in given.items() if value != each.default}
        return {**said, "seen": self.seen, "done": self.done}


class Faults:
    """The rules in force. Used by the event loop alone."""

    def __init__(self, rules: Sequence[FaultRule] = ()) -> None:
        self._in_force: list[_InForce] = []
        self.use(rules)

    def __bool__(self) -> bool:
        return bool(self._in_force)

    def use(self, rules: Sequence[FaultRule]) -> None:
        """These instead of those before, counted from now on."""
        self._in_force = [_InForce(rule) for rule in rules]

    def due(self, method: str, path: str) -> list[FaultRule]:
        """What happens to this call, in the order of the rules; each rule counts it."""
        return [one.rule for one in self._in_force if one.is_due(method, path)]

    def shown(self) -> list[dict[str, Any]]:
        """Each rule as it was given, with how many calls it has `seen` and how often it was `done`."""
        return [one.shown() for one in self._in_force]


# ------------------------------------------------------------------------ reading them


def read_rules(path: Path) -> list[FaultRule]:
    """The rules in a YAML file. Raises FaultsError."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FaultsError(f"{path}: cannot be read ({error})") from error
    return rules_from(text, str(path))


def rules_from(text: str, where: str) -> list[FaultRule]:
    """The rules in a YAML list. `where` is its name in errors. Raises FaultsError."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)  # nodes know their line
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise FaultsError(f"{where}{line}: not YAML: {getattr(error, 'problem', error)}") from error
    if root is None:
        return []
    if not isinstance(root, yaml.SequenceNode):
        raise FaultsError(f"{where}:1: a list of rules is needed, like\n- {{do: answer, status: 503, nth: 3}}")
    return [_rule(where, node) for node in root.value]


def _rule(where: str, node: yaml.Node) -> FaultRule:
    place = f"{where}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        raise FaultsError(f"{place}: a rule is a mapping, like {{do: answer, status: 503, nth: 3}}")
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = f"{where}:{key.start_mark.line + 1}"
        name = str(key.value)
        if name not in _FIELDS:
            raise FaultsError(f"{line}: unknown field {name!r}; allowed are {', '.join(_FIELDS)}")
        if name in found:
            raise FaultsError(f"{line}: {name} is given twice; remove one")
        if not isinstance(value, yaml.ScalarNode):
            raise FaultsError(f"{line}: {name}: must be one value")
        try:
            found[name] = _FIELDS[name](value.value)
        except ValueError as error:
            raise FaultsError(f"{line}: {name}: {error}") from error
    if "do" not in found:
        raise FaultsError(f"{place}: do is missing; it is one of {', '.join(FAULT_ACTIONS)}")
    wrong = _at_odds(found)
    if wrong:
        raise FaultsError(f"{place}: {wrong}")
    return FaultRule(
        **({"status": 502 if found["do"] == "html" else 500} if found["do"] in _WITH_STATUS else {}) | found
    )


_WITH_STATUS = ("answer", "answer_after", "html")
_WHICH = ("nth", "every", "fraction")


def _at_odds(found: dict[str, Any]) -> str:
    """What in a rule does not go together, and what to do; "" if all does."""
    which = [name for name in _WHICH if name in found]
    if len(which) > 1:
        return f"{which[0]} and {which[1]} cannot both be given; keep one"
    if "seed" in found and "fraction" not in found:
        return "seed is only for fraction; remove it"
    if "status" in found and found["do"] not in _WITH_STATUS:
        return f"status is only for {', '.join(_WITH_STATUS)}; remove it"
    if "body" in found and found["do"] != "answer":
        return "body is only for answer; remove it"
    if ("seconds" in found) != (found["do"] == "slow"):
        return "slow needs seconds" if found["do"] == "slow" else "seconds is only for slow; remove it"
    return ""


def _deed(text: str) -> str:
    if text not in FAULT_ACTIONS:
        raise ValueError(f"{text!r} is not one of {', '.join(FAULT_ACTIONS)}")
    return text


def _method(text: str) -> str:
    if not re.fullmatch("[A-Za-z]+", text):
        raise ValueError(f"{text!r} is not a method, as POST")
    return text.upper()


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


def _number(kind: type, lowest: float, highest: float, what: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not lowest <= value <= highest:
            raise ValueError(f"{text!r} is not {what}")
        return value

    return read


def _status(text: str) -> int:
    known = {str(each.value) for each in HTTPStatus if each.value >= 200} - {"204", "205", "304"}
    if text not in known:
        raise ValueError(f"{text!r} is not a status of HTTP whose answer has a body, as 500")
    return int(text)


_count = _number(int, 1, 10**9, "a whole number from 1 on")

_FIELDS: dict[str, Callable[[str], Any]] = {
    "do": _deed,
    "method": _method,
    "path": _pattern,
    "nth": _count,
    "every": _count,
    "fraction": _number(float, 1e-9, 1.0, "a number above 0, at most 1"),
    "seed": _number(int, 0, 2**63, "a whole number"),
    "times": _count,
    "status": _status,
    "body": str,
    "seconds": _number(float, 0.0, 86_400.0, "a number of seconds, at most a day"),
}
