"""docs/reference/macros.md has each macro with its parameters, as the code has them."""

from __future__ import annotations

import re

from tests.macro_page import PAGE, macros, with_tables
from tests.paths import ROOT


def test_the_page_is_what_the_macros_say() -> None:
    page = PAGE.read_text("utf-8")
    assert page == with_tables(page), "write it again: python -m tests.macro_page"


def test_no_macro_is_missing() -> None:
    decorated = re.compile(r"^@macro\(.*?^def (\w+)\(", re.MULTILINE | re.DOTALL)
    names = [name for file in (ROOT / "macros").glob("*.py") for name in decorated.findall(file.read_text("utf-8"))]
    assert sorted(names) == [macro.__name__ for macro in macros()]


def test_each_macro_of_the_introduction_is_one() -> None:
    introduction = PAGE.read_text("utf-8").partition("\n## ")[0]
    table = introduction.partition("| to | type |")[2]
    assert set(re.findall(r"`([a-z_]+)[^`]*`", table)) == {macro.__name__ for macro in macros()}


def test_no_macro_imports_the_package_macros() -> None:
    """A beamline may have a package of this name, which is then found first."""
    for file in (ROOT / "macros").glob("*.py"):
        assert not re.search(r"^\s*(from|import) macros\b", file.read_text("utf-8"), re.MULTILINE), file
