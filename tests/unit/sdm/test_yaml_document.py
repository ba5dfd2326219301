"""YAML files as dataclasses: what an error message contains, and what it must not show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest

from sdm.yaml_document import (
    FORBID_EXTRA,
    MAX_MISTAKES,
    Flag,
    NotEmpty,
    Number,
    WholeNumber,
    YamlDocument,
    check,
)


class WrongFile(Exception):
    """The error of these tests."""


@dataclass(frozen=True)
class Motor:
    name: Annotated[str, NotEmpty]
    speed: Number = 1.0


@dataclass(frozen=True)
class Bench:
    __pydantic_config__ = FORBID_EXTRA

    motors: tuple[Motor, ...] = ()
    spare: Motor | None = None
    by_name: dict[str, Motor] = field(default_factory=dict)
    number: WholeNumber = 0
    on: Flag = False
    kind: Literal["table", "rail"] = "table"
    token: Annotated[str, check(lambda text: "" if len(text) > 8 else "is too short")] = "long enough"


def of(text: str, keep_nulls: bool = False) -> Bench:
    return YamlDocument("bench.yaml", text, WrongFile, keep_nulls=keep_nulls).validated(Bench)


def mistakes(text: str, keep_nulls: bool = False) -> list[str]:
    with pytest.raises(WrongFile) as raised:
        of(text, keep_nulls)
    return str(raised.value).replace("bench.yaml, line ", "").splitlines()


def test_texts_become_what_the_fields_are() -> None:
    found = of("motors: [{name: 007, speed: 2}]\nnumber: 12\non: true\nkind: rail\nby_name: {x: {name: x}}\n")
    assert found == Bench((Motor("007", 2.0),), None, {"x": Motor("x")}, 12, True, "rail")
    assert type(found.motors[0].speed) is float


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("motor: []", "1: motor: is not known: did you mean motors?"),
        ("motor:", "1: motor: is not known: did you mean motors?"),
        ("motors:\n  - {name: x,\n     sped: 1}", "3: motors.sped: is not known: did you mean speed?"),
        ("spare:\n  nam: x\n  name: x", "2: spare.nam: is not known: did you mean name?"),
        ("by_name:\n  x: {q: x, name: x}", "2: by_name.x.q: is not known: allowed are name, speed"),
        ("motors: [{speed: 1}]", "1: motors.name: is missing: add it"),
        ("motors:\n- name: ' '", "2: motors.name: is empty: write a value"),
        ("motors: {name: x}", "1: motors: must be a list, like [a, b]"),
        ("motors: [x]", "1: motors: must be 'name: value' lines"),
        ("by_name: x", "1: by_name: must be 'name: value' lines"),
        ("number: 1\nnumber: 2", "2: number: is set twice: keep one"),
        ("number: 1.0", "1: number: must be a whole number"),
        ("number: [1]", "1: number: must be a whole number"),
        ("on: yes", "1: on: must be true or false"),
        ("on: 1", "1: on: must be true or false"),
        ("motors: [{name: x, speed: fast}]", "1: motors.speed: must be a number"),
        ("kind: chair", "1: kind: must be 'table' or 'rail'"),
        ("token: [secret]", "1: token: must be one value"),
        ("? [x]\n: y", "1: ?: a name must be plain text"),
        ("x", "1: must be 'name: value' lines"),
        ("\non: {", "2: not YAML: expected the node content, but found '<stream end>'"),
        ("&a [*a]", "1: must be 'name: value' lines"),
    ],
)
def test_a_mistake_has_its_line_its_field_and_what_to_do(text: str, says: str) -> None:
    assert mistakes(text) == [says]


def test_a_name_without_a_value_is_a_default_or_a_mistake() -> None:
    assert of("number:\n# nothing else\n") == of("") == Bench()
    assert mistakes("number:", keep_nulls=True) == ["1: number: must be one value; remove the line to use the default"]


def test_all_mistakes_are_reported_by_line_up_to_a_maximum() -> None:
    assert mistakes("on: 3\non: 4\nx: 1\nnumber: y\nspare:\n") == [
        "1: on: must be true or false",
        "2: on: is set twice: keep one",
        "3: x: is not known: allowed are motors, spare, by_name, number, on, kind, token",
        "4: number: must be a whole number",
    ]
    many = mistakes("motors:\n" + "- {}\n" * (MAX_MISTAKES + 5))
    assert len(many) == MAX_MISTAKES + 1
    assert many[-1] == "bench.yaml: 5 more"


def test_no_value_is_shown_not_even_by_the_errors_behind_the_error() -> None:
    for text in ("token: s3cret", "number: s3cret", "on: [s3cret]", "token: 's3cret", "motors: s3cret"):
        with pytest.raises(WrongFile) as raised:
            of(text)
        assert "s3cret" not in str(raised.value)
        assert raised.value.__cause__ is None
        assert raised.value.__context__ is None or raised.value.__suppress_context__


def test_what_aliases_repeat_is_not_copied() -> None:
    lines = [f"a{number}: &a{number} [{', '.join([f'*a{number - 1}'] * 10)}]" for number in range(1, 20)]
    assert len(mistakes("\n".join(["a0: &a0 [x]", *lines]))) == 20


def test_a_file_nested_too_deeply_is_refused() -> None:
    assert mistakes("[" * 5000) == ["bench.yaml: nested too deeply"]


def test_a_field_is_refused_afterwards_by_its_path() -> None:
    document = YamlDocument("bench.yaml", "motors:\n  - name: x\n    speed: 3\n", WrongFile)
    assert document.has(("motors", 0, "speed"))
    assert not document.has(("motors", 0, "spede"))
    assert not document.has(("motors", 0, "speed", "more"))
    assert not YamlDocument("bench.yaml", "bench: {name: x}\n", WrongFile).has(("bench", "speed"))
    with pytest.raises(WrongFile, match=r"^bench.yaml, line 3: motors.speed: is too fast$"):
        document.refuse(("motors", 0, "speed"), "is too fast")
