"""Which texts Node.js takes for a date: each of these was asked of it (v20)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.embedded.javascript import is_date

DATES = (
    *("list 1", "2025", "scan 12", "lysozyme-3", "2025-0001", "P-123", "12", "0", "32", "1/2", "1/2/3", "32/5"),
    *("x (1) 2", "1 (x", "Nov 3", "3 Nov 2025", "Nov-3", "test 10.5", "run 3.1", "0.5", "2026-11-22", "2025:", "at 10"),
    *("2026-11-22T10:00:00.000Z", "2026-11-22T10:00:00+01:00", "2026-11-22 10:00", "1 10:30", "1 10:30 PM", '"1"'),
)
TEXTS = (
    *("", "lysozyme", "20250001", "[1]", "^mot[0]", "a.b (wet)", "0.5 mM", "B12", "sample 1a", "sample 1 a", "13/32"),
    *("10:30", "a(1", "CM-31200-1-2-3", "2026-13-22", "1 2 3 4", "scizoo/0a1b2c3d-0000-0000-0000-000000000000", "P1"),
    *("samples/16\U0010ffff", "2025-\U0010ffff", '"lysozyme-3" text', "2026-11-22T10:00 x", "12 (a) b"),
)


@pytest.mark.parametrize("text", DATES)
def test_dates(text: str) -> None:
    assert is_date(text)


@pytest.mark.parametrize("text", TEXTS)
def test_no_dates(text: str) -> None:
    assert not is_date(text)


@given(st.text(alphabet=st.sampled_from("0129:/.,-+() TZabjan\n\u00e9\U0010ffff")))
def test_any_text_is_one_or_not(text: str) -> None:
    assert is_date(text) in (True, False)
