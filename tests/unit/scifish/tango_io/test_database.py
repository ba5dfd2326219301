"""What the Tango database says, as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scifish.tango_io.database import parse_properties, raw, text

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT)
def test_what_is_written_is_read(written: str) -> None:
    assert text(raw(written)) == written
    assert raw(written).encode("latin-1") == written.encode("utf-8")


@pytest.mark.parametrize("written", ["µm", "Å", "°C", "Våg å", "Größe", "ASCII", ""])
def test_what_is_latin_1_is_read_as_it_was_meant(written: str) -> None:
    """So PyTango's clients send texts, and Java programs under a Latin-1 locale."""
    assert text(written) == written


def test_the_properties_of_an_answer() -> None:
    lines = [raw("- {name: 波長}"), "", "Å"]
    answer = ["a/b/c", "3", "Config.saxs", "3", *lines, "Empty", "0", "", raw("Config.våg"), "1", "x"]
    assert parse_properties(answer) == {"Config.saxs": ["- {name: 波長}", "", "Å"], "Empty": [], "Config.våg": ["x"]}
