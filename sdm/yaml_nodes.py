"""Reads YAML files and reports mistakes with file, line and field.

It reads nodes and not values, because nodes have line numbers, and 20250001 and 02770 stay texts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import yaml

from sdm.names import NameRefused

_NULL = "tag:yaml.org,2002:null"


class Mistake(Exception):
    """A mistake at a node. The text names the field."""

    def __init__(self, node: yaml.Node, text: str) -> None:
        super().__init__(text)
        self.line = node.start_mark.line + 1


@contextlib.contextmanager
def located_errors(where: str, kind: type[Exception]) -> Iterator[None]:
    """Turn mistakes into errors of this kind, with their line; `where` is the file's path."""
    try:
        yield
    except Mistake as mistake:
        raise kind(f"{where}, line {mistake.line}: {mistake}") from mistake
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise kind(f"{where}, line {line}: not YAML: {error.problem}") from error
    except yaml.YAMLError as error:  # invalid characters: this error has no line
        raise kind(f"{where}: not YAML: {error}") from error
    except RecursionError as error:
        raise kind(f"{where}: nested too deeply") from error


def read(path: Path, kind: type[Exception]) -> str:
    """The file's text. Raises `kind`."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise kind(f"{path} cannot be read: {error}") from error


def root_of(text: str) -> yaml.Node | None:
    """None for an empty file. To be called inside `located_errors`."""
    return yaml.compose(text, Loader=yaml.SafeLoader)


def mapping(node: yaml.Node, what: str, known: Sequence[str] = ()) -> dict[str, yaml.Node]:
    """The fields that have a value. Without `known`, any name is allowed."""
    if not isinstance(node, yaml.MappingNode):
        raise Mistake(node, f"{what} is not of the form 'field: value'")
    fields: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or (known and key.value not in known):
            name = repr(key.value) if isinstance(key, yaml.ScalarNode) else "this"
            raise Mistake(key, f"{name} is not a field of {what}; allowed are {', '.join(known)}")
        if key.value in fields:
            raise Mistake(key, f"{key.value!r} is given twice in {what}")
        fields[key.value] = value
    return {name: value for name, value in fields.items() if value.tag != _NULL}


def sequence(node: yaml.Node | None, what: str) -> list[yaml.Node]:
    if node is None:
        return []
    if not isinstance(node, yaml.SequenceNode):
        raise Mistake(node, f"{what} is not a list")
    return list(node.value)


def text(node: yaml.Node | None, what: str) -> str:
    if node is None:
        return ""
    if not isinstance(node, yaml.ScalarNode):
        raise Mistake(node, f"{what} is not a text")
    return str(node.value)


def checked(node: yaml.Node | None, what: str, check: Callable[[str], str]) -> str:
    """What `check` returns for the text; "" without one. `check` may raise NameRefused."""
    if node is None:
        return ""
    try:
        return check(text(node, what))
    except NameRefused as error:
        raise Mistake(node, f"{what}: {error}") from error


def texts(node: yaml.Node | None, what: str, check: Callable[[str], str]) -> tuple[str, ...]:
    return tuple(checked(one, what, check) for one in sequence(node, what))
