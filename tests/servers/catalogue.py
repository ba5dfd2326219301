"""The SciCats that tests run against: the embedded one as a real process, and one given by the environment.

    SCIZOO_SCICAT_URL=https://... SCIZOO_SCICAT_USERNAME=... SCIZOO_SCICAT_PASSWORD=... \\
        pytest tests/contract tests/integration/scicow tests/ui

The account must be an administrator (ADMIN_GROUPS). SCIZOO_SCICAT_USER=name:password:group, a
member of one group who may create, and SCIZOO_SCICAT_OTHER=name:password:group, someone of another
group, add the tests of who sees what. What such a SciCat cannot do, such as to fail on request,
or what an account may not, is skipped with the reason. Nothing is removed from it afterwards.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from deploy.demo.processes import Process, Processes
from tests.paths import ROOT

COMMAND = str(Path(sys.executable).with_name("scicat-embedded"))

KINDS = ["embedded", *(["given"] if os.environ.get("SCIZOO_SCICAT_URL") else [])]
"""What there is to run against."""


@dataclass(frozen=True)
class Account:
    """One account of a catalogue. `groups` is empty for one that is only an administrator."""

    username: str
    password: str
    groups: tuple[str, ...] = ()
    admin: bool = False


INGESTOR = Account("ingestor", "ingestor-password", admin=True)
USER1 = Account("user1", "user1-password", ("20250001-group",))
USER2 = Account("user2", "user2-password", ("20250002-group",))


@dataclass
class Catalogue:
    """A SciCat that accepts requests. `process` is None for one that these tests did not start."""

    url: str
    ingestor: Account = INGESTOR
    user1: Account | None = USER1
    user2: Account | None = USER2
    process: Process | None = None
    accounts: tuple[Account, ...] = field(default=(INGESTOR, USER1, USER2))


def given_catalogue() -> Catalogue:
    """The one of the environment. KeyError names the variable that is not set."""
    ingestor = Account(os.environ["SCIZOO_SCICAT_USERNAME"], os.environ["SCIZOO_SCICAT_PASSWORD"], admin=True)
    return Catalogue(
        os.environ["SCIZOO_SCICAT_URL"].rstrip("/"),
        ingestor,
        _account("SCIZOO_SCICAT_USER"),
        _account("SCIZOO_SCICAT_OTHER"),
    )


def _account(variable: str) -> Account | None:
    name, _, rest = os.environ.get(variable, "").partition(":")
    password, _, group = rest.partition(":")
    return Account(name, password, (group,) if group else ()) if name else None


def write_accounts(path: Path, accounts: tuple[Account, ...] = (INGESTOR, USER1, USER2)) -> Path:
    """The accounts file of these accounts, readable by its owner only."""
    entries = [
        {
            "username": account.username,
            "password": account.password,
            "email": f"{account.username}@example.org",
            "groups": list(account.groups),
            "admin": account.admin,
        }
        for account in accounts
    ]
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(entries), "utf-8")
    return path


def start_catalogue(
    processes: Processes,
    folder: Path,
    accounts: tuple[Account, ...] = (INGESTOR, USER1, USER2),
    port: int = 0,
    options: tuple[str, ...] = (),
    name: str = "scicat-embedded",
    failing: bool = False,
) -> Catalogue:
    """Start one on loopback with its database in `folder` and wait until it answers.

    The same folder again continues with the same database. `name` names its log in
    `processes.logs`; a second start with the same name needs another one, since the line that
    says the URL is looked for in that log. `failing`: one that fails on request.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = write_accounts(folder / "accounts.yaml", accounts)
    process = processes.start(
        name,
        [
            *([sys.executable, "-m", "tests.failing_catalogue"] if failing else [COMMAND]),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--database", str(folder / "catalogue.sqlite"), "--accounts", str(file)),
            *options,
        ],
        {**os.environ, "PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"} if failing else None,
    )
    found = process.wait_for(r"scicat-embedded: (http://\S+)")
    assert found is not None
    return Catalogue(found.group(1), process=process, accounts=accounts)
