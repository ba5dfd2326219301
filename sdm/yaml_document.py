"""Reads YAML files into dataclasses, checked by pydantic. Mistakes are reported with file, line, field and what to do.

Scalars stay texts as they are written, because 20250001 and 02770 are not meant as numbers; the type of a field
converts its text (`Flag`, `WholeNumber`, `Number`). A message shows no value, which may be a secret, unless the check
of that field does.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Strict, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

FORBID_EXTRA = ConfigDict(extra="forbid")
"""The `__pydantic_config__` of the outermost dataclass of a file: a name that is not a field is a mistake."""

MAX_MISTAKES = 20
"""Maximum number of mistakes reported of one file."""

FieldPath = tuple[int | str, ...]
"""Names in mappings and indices in lists, from the outermost; () is the whole file."""

_NULL = "tag:yaml.org,2002:null"

T = TypeVar("T")


# ------------------------------------------------------------------------- types of fields


def check(wrong: Callable[[Any], str]) -> AfterValidator:
    """Refuses a value for which `wrong` returns what is wrong and what to do; "" is nothing."""

    def checked(value: Any) -> Any:
        if text := wrong(value):
            raise ValueError(text)
        return value

    return AfterValidator(checked)


def matching(pattern: str, otherwise: str) -> AfterValidator:
    """Refuses a text that is not, as a whole, of this regular expression, by the text `otherwise`."""
    return check(lambda text: "" if re.fullmatch(pattern, text) else otherwise)


def _read_as(convert: Callable[[str], object]) -> BeforeValidator:
    """Converts a text; what cannot be converted stays as it is, and the strict type refuses it."""

    def converted(given: object) -> object:
        try:
            return convert(given) if isinstance(given, str) else given
        except ValueError:
            return given

    return BeforeValidator(converted)


NotEmpty = check(lambda text: "" if text.strip() else "is empty: write a value")
Flag = Annotated[bool, Strict(), _read_as(lambda text: {"true": True, "false": False}.get(text, text))]
WholeNumber = Annotated[int, Strict(), _read_as(int)]
Number = Annotated[float, Strict(), _read_as(float)]


# ---------------------------------------------------------------------------------- files


def read_text(path: Path, kind: type[Exception]) -> str:
    """The file's text. Raises `kind`."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise kind(f"{path} cannot be read: {error}") from error


class YamlDocument:
    """One YAML document with its line numbers.

    `where` names it in messages, which are raised as `kind`. With `keep_nulls` a name without a value is a null;
    without, it has its default, and an empty document is a mapping without fields. `scalar` converts
    scalars other than nulls.
    """

    def __init__(
        self,
        where: str,
        text: str,
        kind: Callable[[str], Exception],
        keep_nulls: bool = False,
        scalar: Callable[[yaml.ScalarNode], object] = lambda node: str(node.value),
    ) -> None:
        self._where = where
        self._kind = kind
        self._keep_nulls = keep_nulls
        self._scalar = scalar
        self._mistakes: list[tuple[int, str]] = []
        self._left_out: list[FieldPath] = []
        self._values: dict[int, Any] = {}
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self._tree = self._value(self._root, ()) if self._root else None if keep_nulls else {}
        except yaml.MarkedYAMLError as error:  # its own text quotes the line, which may hold a password
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise kind(f"{where}, line {line}: not YAML: {error.problem}") from None
        except yaml.YAMLError as error:  # invalid characters: this error has no line
            raise kind(f"{where}: not YAML: {error}") from None
        except RecursionError:
            raise kind(f"{where}: nested too deeply") from None

    @property
    def empty(self) -> bool:
        return self._root is None

    def validated(self, model: type[T], context: object = None) -> T:
        """The document as a `model`, a dataclass or a list of them; `context` is for the fields' checks.

        Raises `kind` with a line for each mistake.
        """
        mistakes = self._mistakes + [wrong for path in self._left_out for wrong in self._unknown(model, path)]
        try:
            found: T = _adapter(typing.cast(Any, model)).validate_python(self._tree, context=context)
        except ValidationError as error:
            mistakes += [self._translated(model, one) for one in error.errors(include_url=False, include_input=False)]
        if mistakes:  # raised here: the text of pydantic's error shows values
            self._raise(sorted(mistakes, key=lambda one: one[0]))
        return found

    def refuse(self, path: FieldPath, text: str) -> typing.NoReturn:
        """Raises `kind` for the field at `path`."""
        self._raise([self._mistake(path, text)])

    def line(self, path: FieldPath) -> int:
        """Of the field, else of the innermost mapping or list around it that is in the file."""
        key, value = self._nodes(path)
        node = key or value
        return node.start_mark.line + 1 if node else 1

    def has(self, path: FieldPath) -> bool:
        return self._nodes(path)[1] is not self._nodes(path[:-1])[1]

    def _raise(self, mistakes: list[tuple[int, str]]) -> typing.NoReturn:
        lines = [f"{self._where}, line {line}: {text}" for line, text in mistakes[:MAX_MISTAKES]]
        if len(mistakes) > MAX_MISTAKES:
            lines.append(f"{self._where}: {len(mistakes) - MAX_MISTAKES} more")
        raise self._kind("\n".join(lines))

    def _mistake(self, path: FieldPath, text: str, line: int = 0) -> tuple[int, str]:
        name = ".".join(part for part in path if isinstance(part, str) and part != "[key]")
        return line or self.line(path), f"{name}: {text}" if name else text

    def _value(self, node: yaml.Node, path: FieldPath) -> Any:
        """Plain values. What an alias repeats is one object, so that a small file does not become a large one."""
        if id(node) in self._values:
            return self._values[id(node)]
        if isinstance(node, yaml.ScalarNode):
            return None if self._keep_nulls and node.tag == _NULL else self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            items = self._values[id(node)] = []
            items += [self._value(inner, (*path, number)) for number, inner in enumerate(node.value)]
            return items
        fields: dict[str, Any] = {}
        self._values[id(node)] = fields
        seen = set()
        for key, inner in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
            wrong = "is set twice: keep one" if name in seen else "" if name else "a name must be plain text"
            if wrong:
                self._mistakes.append(self._mistake((*path, name or "?"), wrong, key.start_mark.line + 1))
                continue
            seen.add(name)
            if self._keep_nulls or inner.tag != _NULL:
                fields[name] = self._value(inner, (*path, name))
            else:
                self._left_out.append((*path, name))
        return fields

    def _nodes(self, path: FieldPath) -> tuple[yaml.Node | None, yaml.Node | None]:
        """The name's node, None in a list, and the value's; of the innermost part of `path` that is in the file."""
        key, node = None, self._root
        for part in path:
            if isinstance(node, yaml.MappingNode) and isinstance(part, str):
                inner = [pair for pair in node.value if pair[0].value == part]
                if not inner:
                    return None, node
                key, node = inner[0]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                key, node = None, node.value[part]
        return key, node

    def _unknown(self, model: Any, path: FieldPath) -> list[tuple[int, str]]:
        """That the name is no field of the dataclass around it, unless it is one."""
        known = _field_names(model, path[:-1])
        if not known or path[-1] in known:
            return []
        near = get_close_matches(str(path[-1]), known, 1)
        hint = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(known)}"
        return [self._mistake(path, f"is not known: {hint}")]

    def _translated(self, model: Any, error: ErrorDetails) -> tuple[int, str]:
        """A mistake that pydantic has found, in our words."""
        kind, path = error["type"], error["loc"]
        if kind == "unexpected_keyword_argument":
            return (self._unknown(model, path) or [self._mistake(path, "is not known: remove it")])[0]
        node = self._nodes(path)[1]
        if kind == "value_error":
            text = str(error["ctx"]["error"])
        elif kind in _OF_SCALARS and node is not None and node.tag == _NULL:
            text = "must be one value; remove the line to use the default"
        elif kind == "string_type" and not isinstance(node, yaml.ScalarNode):
            text = "must be one value"
        else:
            text = _TEXTS.get(kind) or error["msg"].replace("Input should be", "must be")
        return self._mistake(path, text)


_OF_SCALARS = ("string_type", "int_type", "float_type", "bool_type", "literal_error")
_TEXTS = {
    "missing": "is missing: add it",
    "dataclass_type": "must be 'name: value' lines",
    "dict_type": "must be 'name: value' lines",
    "tuple_type": "must be a list, like [a, b]",
    "list_type": "must be a list, like [a, b]",
    "string_type": "must be text: put it into quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "recursion_loop": "contains itself",
}


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _field_names(model: Any, path: FieldPath) -> list[str]:
    """The fields of the dataclass at this path of the model; [] where there is none."""
    for part in path:
        if dataclasses.is_dataclass(model):
            model = typing.get_type_hints(model).get(str(part))
        elif inner := typing.get_args(model):  # the items of a list, a tuple or a mapping
            model = inner[1 if typing.get_origin(model) is dict else 0]
        if typing.get_origin(model) in (typing.Union, types.UnionType):  # with None
            model = typing.get_args(model)[0]
    return [field.name for field in dataclasses.fields(model)] if dataclasses.is_dataclass(model) else []
