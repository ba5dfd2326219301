"""The accounts file, and tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.embedded.accounts import AccountsError, load_accounts
from ingest.embedded.tokens import TokenSigner

GOOD = """\
# a comment
- {username: ingestor, password: secret1, email: i@example.org, groups: [], admin: true}
- username: jane
  password: secret2
  groups: [20250001-group]
"""


def _write(path: Path, text: str) -> Path:
    file = path / "accounts.yaml"
    file.write_text(text, "utf-8")
    return file


def test_a_good_file(tmp_path: Path) -> None:
    accounts = load_accounts(_write(tmp_path, GOOD))
    ingestor, jane = accounts.get("ingestor"), accounts.get("jane")
    assert ingestor is not None
    assert ingestor.admin
    assert jane is not None
    assert (jane.groups, jane.admin) == (("20250001-group",), False)


def test_login(tmp_path: Path) -> None:
    accounts = load_accounts(_write(tmp_path, GOOD))
    assert accounts.login("jane", "secret2") is accounts.get("jane")
    for name, password in [
        ("jane", "secret1"),
        ("jane", ""),
        ("nobody", "secret2"),
        ("nobody", ""),
        ("jane", "é\ud800"),
    ]:
        assert accounts.login(name, password) is None


def test_a_password_is_not_in_the_printed_form(tmp_path: Path) -> None:
    assert "secret2" not in repr(load_accounts(_write(tmp_path, GOOD)).get("jane"))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "must be a list"),
        ("[]", 1, "at least one account"),
        ("- {username: a, username: b, password: hush}", 1, "username: is set twice"),
        ("- {username: a, password: hush, admin: 1}", 1, "admin: must be true or false"),
        ("username: x", 1, "must be a list"),
        ("- {username: a, password: hush\n- x", 2, "not YAML"),
        ("- a", 1, "must be 'name: value' lines"),
        ("- {username: a}", 1, "password: is missing"),
        ("- {password: hush}", 1, "username: is missing"),
        ("- {username: a, password: ''}", 1, "password: is empty: write a value"),
        ("\n- username: a\n  password: 12345", 3, "password: must be text: put it into quotes"),
        ("- {username: a, password: hush, passwort: x}", 1, "passwort: is not known: did you mean password?"),
        ("- {username: a, password: hush, groups: x}", 1, "groups: must be"),
        ("- {username: a, password: hush, groups: [[x]]}", 1, "groups: must be"),
        ("- {username: a, password: hush, admin: 'true'}", 1, "admin: must be true or false"),
        (
            "- {username: a, password: hush}\n- {username: a, password: b}",
            2,
            "username: 'a' is also in line 1; remove one",
        ),
    ],
)
def test_a_wrong_file_is_reported_by_line_and_field(tmp_path: Path, text: str, line: int, says: str) -> None:
    file = _write(tmp_path, text)
    with pytest.raises(AccountsError) as caught:
        load_accounts(file)
    message = str(caught.value)
    assert message.startswith(f"{file}, line {line}: ")
    assert says in message
    assert "hush" not in message
    assert "12345" not in message


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(AccountsError, match="no such file"):
        load_accounts(tmp_path / "none.yaml")


def test_a_token_is_good_for_its_life() -> None:
    tokens = TokenSigner(b"secret" * 32, 60)
    token = tokens.issue("jane")
    assert tokens.username(token) == "jane"
    assert TokenSigner(b"other" * 32, 60).username(token) is None
    assert tokens.username(token[:-1]) is None
    expired = TokenSigner(b"secret" * 32, -1).issue("jane")
    assert tokens.username(expired) is None


@given(st.text())
def test_no_text_is_accepted_as_a_token(text: str) -> None:
    assert TokenSigner(b"secret" * 32, 60).username(text) is None
