"""Who may log in: the accounts file and the check of a password."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_FIELDS = ("username", "password", "email", "groups", "admin")
_EXAMPLE = "- {username: ingestor, password: ..., email: ingestor@example.org, groups: [], admin: true}"


class AccountsError(Exception):
    """The accounts file cannot be used. The text says which file, line and field, and what to do."""


@dataclass(frozen=True)
class CatalogueAccount:
    """One account. An `admin` may do everything, as a member of SciCat's ADMIN_GROUPS."""

    username: str
    password: str = field(repr=False)
    email: str = ""
    groups: tuple[str, ...] = ()
    admin: bool = False


class Accounts:
    """All accounts, by username."""

    def __init__(self, accounts: Mapping[str, CatalogueAccount]) -> None:
        self._accounts = dict(accounts)

    def get(self, username: str) -> CatalogueAccount | None:
        return self._accounts.get(username)

    def login(self, username: str, password: str) -> CatalogueAccount | None:
        """The account, or None if name or password are wrong. Takes as long for either."""
        account = self._accounts.get(username)
        expected = account.password if account else password + "x"
        same = hmac.compare_digest(expected.encode("utf-8", "replace"), password.encode("utf-8", "replace"))
        return account if account and same else None


def load_accounts(path: Path) -> Accounts:
    """Read the YAML list of `{username, password, email, groups, admin}`. Raises AccountsError."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise AccountsError(f"{path}: there is no such file. Write one account a line, like\n{_EXAMPLE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise AccountsError(f"{path}: cannot be read ({error})") from error
    try:
        # The nodes, not the values, know their line; SafeLoader builds nothing but plain data.
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise AccountsError(f"{path}{_yaml_place(error)}") from error
    if not isinstance(root, yaml.SequenceNode) or not root.value:
        raise AccountsError(f"{path}:1: a list of at least one account is needed, like\n{_EXAMPLE}")
    accounts: dict[str, CatalogueAccount] = {}
    lines: dict[str, int] = {}
    for node in root.value:
        account = _account(path, node)
        line = node.start_mark.line + 1
        if account.username in accounts:
            first = lines[account.username]
            raise AccountsError(
                f"{path}:{line}: username: {account.username!r} is also in line {first}; remove one of them"
            )
        accounts[account.username] = account
        lines[account.username] = line
    return Accounts(accounts)


def _yaml_place(error: yaml.YAMLError) -> str:
    # Not the error's own text: that quotes the line, and with it perhaps a password.
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return ": not YAML"
    return f":{mark.line + 1}: not YAML: {getattr(error, 'problem', '')} (column {mark.column + 1})"


def _account(path: Path, node: yaml.Node) -> CatalogueAccount:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise AccountsError(f"{path}:{line}: an account is a mapping, like\n{_EXAMPLE}")
    values: dict[str, Any] = {}
    for key, value in node.value:
        place = f"{path}:{key.start_mark.line + 1}"
        name = key.value if isinstance(key, yaml.ScalarNode) else "?"
        if name not in _FIELDS:
            raise AccountsError(f"{place}: unknown field {name!r}; allowed are {', '.join(_FIELDS)}")
        if name in values:
            raise AccountsError(f"{place}: {name} is given twice; remove one")
        values[name] = _value(f"{place}: {name}", name, value)
    for name in ("username", "password"):
        if not values.get(name):
            raise AccountsError(f"{path}:{line}: {name} is missing or empty; write {name}: ...")
    return CatalogueAccount(**values)


def _value(place: str, name: str, node: yaml.Node) -> Any:
    found = _plain(node)
    if name == "admin":
        if not isinstance(found, bool):
            raise AccountsError(f"{place}: true or false is needed")
        return found
    if name == "groups":
        if not isinstance(found, list) or not all(isinstance(group, str) and group for group in found):
            raise AccountsError(f"{place}: a list of names is needed, like [20250001-group]")
        return tuple(found)
    if not isinstance(found, str):
        raise AccountsError(f"{place}: text is needed; put it into quotes")
    return found


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_scalar(inner) for inner in node.value]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    if not isinstance(node, yaml.ScalarNode):
        return None
    if node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() in ("true", "yes", "on")
    return node.value if node.tag == "tag:yaml.org,2002:str" else None
