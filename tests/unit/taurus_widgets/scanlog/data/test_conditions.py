"""Typed search conditions, and the errors for those that cannot be parsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scifish.message.units import mathjs_spelling
from taurus_widgets.scanlog.data.columns import path_of
from taurus_widgets.scanlog.data.conditions import ConditionError, NamedValue, TypedCondition, is_condition, parse
from taurus_widgets.scanlog.data.query import QueryCondition, Relation, metadata_field

KNOWN = (
    NamedValue("Optics/Energy", "Energy", "keV", True),
    NamedValue("Optics/Slit gap", "Slit gap", "mm", True),
    NamedValue("Sample environment/Temperature", "Temperature", "K", True),
    NamedValue("Cryo/Temperature", "Temperature", "K", True),
    NamedValue("Sample environment/Cell", "Cell", "°C", True),
    NamedValue("Optics/Shutter", "Shutter", "", False),
    NamedValue("Machine/Rate", "Rate", "counts", True),
    NamedValue("/mode", "mode"),
    NamedValue("Scan results/ct01/points", "points", "", True),
)


def one(text: str) -> QueryCondition:
    (found,) = parse(text, KNOWN)
    return found.condition


def field(key: str) -> str:
    return metadata_field(path_of(key)) if "/" in key else key


def mistake(text: str) -> tuple[str, str]:
    """The error, and the part of the text that it refers to."""
    with pytest.raises(ConditionError) as error:
        parse(text, KNOWN)
    return str(error.value), text[error.value.begin : error.value.end]


class TestGood:
    @pytest.mark.parametrize(
        ("text", "key", "relation", "value", "unit"),
        [
            ("motor = mot01", "scan/motors", Relation.HAS, "mot01", ""),
            ("Motors=mot01", "scan/motors", Relation.HAS, "mot01", ""),
            ("motor != mot01", "scan/motors", Relation.HAS_NOT, "mot01", ""),
            ("detector ~ eig", "scan/detectors", Relation.CONTAINS, "eig", ""),
            ("energy > 7.1 keV", "Optics/Energy", Relation.GREATER, 7.1, "keV"),
            ("energy>7100eV", "Optics/Energy", Relation.GREATER, 7100, "eV"),
            ("Optics/Energy ≤ 1e4 eV", "Optics/Energy", Relation.AT_MOST, 1e4, "eV"),
            ("ENERGY >= 7", "Optics/Energy", Relation.AT_LEAST, 7, "keV"),
            ("slit_gap < 200 µm", "Optics/Slit gap", Relation.LESS, 200, "um"),
            ("cell = -5 °C", "Sample environment/Cell", Relation.EQUAL, -5, "degC"),
            ("rate > 1000 counts", "Machine/Rate", Relation.GREATER, 1000, "counts"),
            ("Cryo/Temperature < 100 K", "Cryo/Temperature", Relation.LESS, 100, "K"),
            ("points > 20", "scan/points", Relation.GREATER, 20, ""),
            ("shutter != open", "Optics/Shutter", Relation.NOT_EQUAL, "open", ""),
            ("sample = 25-A", "sampleId", Relation.EQUAL, "25-A", ""),
            ("sample = 7", "sampleId", Relation.EQUAL, "7", ""),
            ('comment ~ "a, b and c > d"', "comment", Relation.CONTAINS, "a, b and c > d", ""),
            ("rating >= 2.5", "dataQualityMetrics", Relation.AT_LEAST, 2.5, ""),
            ("scan == 4711", "scan/scan_id", Relation.EQUAL, 4711, ""),
            ("mode = 25-A", "/mode", Relation.EQUAL, "25-A", ""),
            ("mode = 25", "/mode", Relation.EQUAL, 25, ""),
            ("mode = true", "/mode", Relation.EQUAL, True, ""),
            ('mode = "25"', "/mode", Relation.EQUAL, "25", ""),
            ("Some group/Not seen yet = 5 mm", "Some group/Not seen yet", Relation.EQUAL, 5, "mm"),
        ],
    )
    def test_it_is_parsed(self, text: str, key: str, relation: Relation, value: object, unit: str) -> None:
        found = one(text)
        assert (found.field, found.relation, found.value, found.unit) == (field(key), relation, value, unit)
        assert type(found.value) is type(value)

    def test_several_must_all_hold(self) -> None:
        found = parse("motor = mot01 and energy > 7.1 keV, energy < 8 keV; points>20 AND ", KNOWN)
        assert [condition.text for condition in found] == [
            "motor = mot01",
            "Energy > 7.1 keV",
            "Energy < 8 keV",
            "points > 20",
        ]

    def test_a_text_without_a_comparison_is_searched_for(self) -> None:
        assert not is_condition("lysozyme and more")
        assert not is_condition('"a = b" c')
        assert is_condition("a=b")


class TestMistakes:
    @pytest.mark.parametrize(
        ("text", "reason", "part"),
        [
            ("energi > 7", "did you mean Energy?", "energi"),
            ("motor = mot01, blurb = 5", "GROUP/NAME", "blurb"),
            ("temperature < 100 K", "Cryo/Temperature or Sample environment/Temperature", "temperature"),
            ("energy > 7.1 kevv", "does not know the unit 'kevv': Energy is recorded in keV", "kevv"),
            ("energy > high", "'high' is not one", "high"),
            ("energy = high", "'high' is not one", "high"),
            ("energy > 7,1 keV", "decimal sign is a point", "1 keV"),
            ("energy > 7.1.2 keV", "decimal sign is a point", ".2 keV"),
            ("energy >", "After > a value is missing", ">"),
            ("> 7", "Before > the name of a value is missing", ">"),
            ("energy > 7 and points", "comparison is missing here", "points"),
            ("shutter > 5", "Shutter is text", "5"),
            ("rate > 3 mm", "recorded in counts", "mm"),
            ("energy > 3 mm", "mm cannot be converted into keV", "mm"),
            ("points > 3 mm", "recorded without a unit", "mm"),
            ("duration > 5 s", "not stored", "duration"),
            ("started > 5", "the time", "started"),
            ("Machine//x = 5", "GROUP/NAME", "Machine//x"),
            ("energy > 1e999", "'1e999' is not one", "1e999"),
        ],
    )
    def test_the_error_has_its_position_and_the_reason(self, text: str, reason: str, part: str) -> None:
        message, place = mistake(text)
        assert reason in message
        assert place == part


@given(st.text(alphabet=st.sampled_from("ab=<>!~ ,;\"'/.5-e%µ°") | st.characters()))
def test_any_text_is_parsed_or_refused_with_a_position(text: str) -> None:
    refused: ConditionError | None = None
    try:
        parse(text, KNOWN)
    except ConditionError as error:
        refused = error
    assert refused is None or 0 <= refused.begin < refused.end <= len(text)


@given(st.sampled_from(KNOWN), st.integers(-999, 999) | st.floats(-1e9, 1e9, allow_nan=False))
def test_the_shown_text_can_be_typed_again(known: NamedValue, value: float) -> None:
    if known.numeric is not False:
        made = TypedCondition(
            QueryCondition(field(known.key), Relation.EQUAL, value, mathjs_spelling(known.unit)), known.key
        )
        again = one(made.text)
        assert (again.field, again.unit) == (made.condition.field, made.condition.unit)
        assert again.value == pytest.approx(value, rel=1e-14)
