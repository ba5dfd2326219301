"""Checks whether a value conforms to a JSON Schema: yes or no, in a tenth of the time that jsonschema needs.

A schema is compiled to a function. Only the keywords that the message's schema uses are supported; any other keyword
is a ValueError at compile time, so that no part of a schema is ignored. jsonschema then says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Test = Callable[[Any], bool]

_NO_TESTS = frozenset({"$schema", "$id", "$defs", "title", "description", "then"})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: dict[str, Test] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": _is_number,
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


def compile_schema(schema: Mapping[str, Any]) -> Test:
    """A function that checks a result of `json.loads`. The function raises RecursionError for very deep nesting."""
    return _Compiler(schema.get("$defs", {})).test(schema)


class _Compiler:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._referred: dict[str, Test] = {}

    def test(self, schema: Any) -> Test:
        """All keywords of the schema. As JSON Schema says, a keyword accepts values of types that it is not for."""
        if isinstance(schema, bool):
            return lambda _: schema
        # The cheap ones first.
        names = sorted(schema.keys() - _NO_TESTS, key=lambda name: (name not in ("type", "required"), name))
        tests = [self._keyword(name, schema[name], schema) for name in names]
        return tests[0] if len(tests) == 1 else _all(tests)

    def _keyword(self, name: str, given: Any, schema: Mapping[str, Any]) -> Test:  # noqa: C901
        match name:
            case "type":
                kinds = [_TYPES[kind] for kind in ([given] if isinstance(given, str) else given)]
                return kinds[0] if len(kinds) == 1 else lambda value: any(kind(value) for kind in kinds)
            case "const" if isinstance(given, str):
                return lambda value: bool(value == given)
            case "enum" if all(isinstance(each, str) for each in given):
                return lambda value: value in given
            case "required":
                return lambda value: not isinstance(value, dict) or all(each in value for each in given)
            case "properties":
                tests = {each: self.test(inner) for each, inner in given.items() if inner}
                return lambda value: not isinstance(value, dict) or _properties(tests, value)
            case "additionalProperties":
                known, other = schema.get("properties", {}), self.test(given)
                return lambda value: (
                    not isinstance(value, dict)
                    or all(other(inner) for each, inner in value.items() if each not in known)
                )
            case "items":
                member = self.test(given)
                return lambda value: not isinstance(value, list) or all(map(member, value))
            case "minProperties":
                return lambda value: not isinstance(value, dict) or len(value) >= given
            case "pattern":
                search = re.compile(given).search
                return lambda value: not isinstance(value, str) or search(value) is not None
            case "minLength":
                return lambda value: not isinstance(value, str) or len(value) >= given
            case "maxLength":
                return lambda value: not isinstance(value, str) or len(value) <= given
            case "minimum":
                return lambda value: not _is_number(value) or value >= given
            case "maximum":
                return lambda value: not _is_number(value) or value <= given
            case "multipleOf":
                return lambda value: not _is_number(value) or value % given == 0
            case "anyOf":
                either = [self.test(each) for each in given]
                return lambda value: any(each(value) for each in either)
            case "allOf":
                return _all([self.test(each) for each in given])
            case "if":
                condition, then = self.test(given), self.test(schema["then"])
                return lambda value: not condition(value) or then(value)
            case "$ref":
                return self._reference(given.removeprefix("#/$defs/"))
        raise ValueError(f"scifish/message/validator.py does not support {name}: {str(given)[:100]}")

    def _reference(self, name: str) -> Test:
        """A definition that refers to itself is looked up at each call."""
        if name not in self._referred:
            self._referred[name] = lambda value: self._referred[name](value)
            self._referred[name] = self.test(self._definitions[name])
        return self._referred[name]


def _all(tests: Sequence[Test]) -> Test:
    def test(value: Any) -> bool:
        for each in tests:  # noqa: SIM110 - `all` of a generator takes half as long again
            if not each(value):
                return False
        return True

    return test


def _properties(tests: Mapping[str, Test], value: Mapping[str, Any]) -> bool:
    for each, inner in value.items():
        test = tests.get(each)
        if test is not None and not test(inner):
            return False
    return True
