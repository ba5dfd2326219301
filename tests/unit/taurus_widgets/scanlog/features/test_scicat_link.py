"""The address of a dataset's page in SciCat."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taurus_widgets.scanlog.features.scicat_link import checked, guess, page_of


@pytest.mark.parametrize(
    ("backend", "frontend"),
    [
        ("https://scicat.example.org", "https://scicat.example.org"),
        ("https://scicat.example.org/api/v3", "https://scicat.example.org"),
        ("https://example.org/scicat/api/v3/", "https://example.org/scicat"),
        ("http://backend.localhost", "http://localhost"),
        ("https://api.scicat.example.org:8443", "https://scicat.example.org:8443"),
        ("https://scicat-backend.example.org", "https://scicat.example.org"),
        ("https://scicat-api.example.org", "https://scicat.example.org"),
        ("http://127.0.0.1:8900", "http://127.0.0.1:8900"),
    ],
)
def test_the_frontend_is_guessed(backend: str, frontend: str) -> None:
    assert guess(backend) == frontend


def test_the_pid_stays_one_part_of_the_path() -> None:
    page = page_of("https://scicat.example.org/", "20.500.12345/a b?c#d/../&e")
    assert page == "https://scicat.example.org/datasets/20.500.12345%2Fa%20b%3Fc%23d%2F..%2F%26e"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_no_pid_leads_to_another_page(pid: str) -> None:
    parts = urlsplit(page_of("https://scicat.example.org", pid))
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("https", "scicat.example.org", "", "")
    assert unquote(parts.path.removeprefix("/datasets/")) == pid
    assert parts.path.count("/") == 2


@pytest.mark.parametrize(
    "wrong", ["scicat.example.org", "file:///etc/passwd", "javascript:alert(1)", "https://", "ftp://x"]
)
def test_an_invalid_address_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        checked(wrong)
