"""The tables of docs/reference/macros.md, from the macros themselves.

`python -m tests.macro_page` writes them into the page again.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

from sardana.macroserver.msparameter import Optional, Type

from tests.paths import DOCS, ROOT

PAGE = DOCS / "reference" / "macros.md"

PARAMETER_TYPES = ("String", "Float", "Integer", "Boolean", "Countable", "File")
"""A MacroServer adds these to Sardana's `Type` when it starts; the macros need them when they are imported."""


def with_tables(page: str) -> str:
    """The page with a section for each macro, in place of all that is behind its first one."""
    introduction = page.partition("\n## ")[0].rstrip()
    return "\n\n".join([introduction, *(section(macro) for macro in macros())]) + "\n"


def macros() -> list[Any]:
    """All macros, by name."""
    for name in PARAMETER_TYPES:
        Type.addType(name)
    found = []
    for file in sorted((ROOT / "macros").glob("[a-z]*.py")):
        module = importlib.import_module(f"macros.{file.stem}")
        found += [getattr(module, name) for name in module.__all__]
    return sorted(found, key=lambda macro: str(macro.__name__))


def section(macro: Any) -> str:
    """Name, documentation and parameters of one macro."""
    rows = [f"| `{name}` | {kind} | {default} | {text} |" for name, kind, default, text in parameters(macro.param_def)]
    head = ["| parameter | type | default | |", "|---|---|---|---|"]
    return "\n\n".join(
        [f"## `{macro.__name__}`", *documentation(macro), *(["\n".join([*head, *rows])] if rows else [])]
    )


def documentation(macro: Any) -> Iterator[str]:
    """Its paragraphs; an indented one, or one of commands, is a block."""
    name = macro.__name__
    for paragraph in (inspect.getdoc(macro) or "").split("\n\n"):
        lines = paragraph.splitlines()
        if all(line.startswith((f"{name} ", " ")) or line == name for line in lines) and len(lines) > 1:
            yield "\n".join(["```", *lines, "```"])
        else:
            yield paragraph


def parameters(definition: Sequence[Any]) -> Iterator[tuple[str, str, str, str]]:
    """Name, type, default and description of each; of those that repeat, the one that does, with dots."""
    for name, kind, default, text in definition:
        if isinstance(kind, str):
            shown = "" if default is None else "none" if default is Optional else f"`{default}`"
            yield name, kind, shown, text
            continue
        (inner, *_), *options = (kind[0], *kind[1:])
        least = next((option["min"] for option in options if isinstance(option, dict) and "min" in option), 1)
        yield f"{inner}...", kind[0][1], "" if least else "none", text


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
