"""Who may log in: the accounts file and the check of a password."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Strict

from sdm.yaml_document import FORBID_EXTRA, NotEmpty, YamlDocument, read_text

_EXAMPLE = "- {username: ingestor, password: ..., email: ingestor@example.org, groups: [], admin: true}"


class AccountsError(Exception):
    """The accounts file cannot be used. The text says which file, line and field, and what to do."""


@dataclass(frozen=True)
class CatalogueAccount:
    """One account. An `admin` may do everything, as a member of SciCat's ADMIN_GROUPS."""

    __pydantic_config__ = FORBID_EXTRA

    username: Annotated[str, NotEmpty]
    password: Annotated[str, NotEmpty] = field(repr=False)
    email: str = ""
    groups: tuple[Annotated[str, NotEmpty], ...] = ()
    admin: Annotated[bool, Strict()] = False


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
    if not path.exists():
        raise _unusable(f"{path}: there is no such file")
    document = YamlDocument(str(path), read_text(path, AccountsError), _unusable, keep_nulls=True, scalar=_scalar)
    accounts: dict[str, CatalogueAccount] = {}
    for number, account in enumerate(document.validated(list[CatalogueAccount])):
        if account.username in accounts:
            first = document.line((list(accounts).index(account.username), "username"))
            document.refuse((number, "username"), f"{account.username!r} is also in line {first}; remove one")
        accounts[account.username] = account
    if not accounts:
        document.refuse((), "must have at least one account")
    return Accounts(accounts)


def _unusable(text: str) -> AccountsError:
    return AccountsError(f"{text}\nWrite one account a line, like\n{_EXAMPLE}")


def _scalar(node: yaml.ScalarNode) -> str | bool | None:
    """A text or a flag by YAML's rules. None for what a person has to put into quotes, such as a number."""
    if node.tag == "tag:yaml.org,2002:bool":
        return node.value.lower() in ("true", "yes", "on")
    return node.value if node.tag == "tag:yaml.org,2002:str" else None
