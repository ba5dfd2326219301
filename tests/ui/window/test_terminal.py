"""The scan log in a terminal."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.terminal import table
from tests.builders.scicat_datasets import scan


def printed(width: int) -> list[str]:
    datasets = [scan(4711, time.time() - 60, "a very long command " * 5, seconds=14.25, comment="x" * 200)]
    output = io.StringIO()
    Console(file=output, width=width).print(table(datasets, cols.default_columns(), width))
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", [200, 160, 120])
def test_texts_are_cut_and_numbers_are_not(width: int) -> None:
    lines = printed(width)
    assert max(map(len, lines)) <= width
    assert "Comment" in lines[0]
    assert {"4711", "14.2", "21"} <= set(lines[2].split())


def test_a_narrow_terminal_names_the_columns_that_do_not_fit() -> None:
    lines = printed(60)
    assert max(map(len, lines)) <= 60
    assert "4711" in lines[2]
    assert "Duration" in " ".join(lines[3:])


def test_a_terminal_of_80_characters_shows_comments_and_ratings() -> None:
    datasets = [
        scan(
            4711,
            time.time() - 60,
            "mesh mot01 0 1 10 mot02 0 1 10 0.1 False None",
            comment="good one",
            dataQualityMetrics=2.5,
            sampleId="lysozyme-3",
            numberOfFiles=3,
        )
    ]
    output = io.StringIO()
    Console(file=output, width=80).print(table(datasets, cols.default_columns(), 80))
    lines = output.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "★★½" in lines[2]
    assert "good one" in lines[2]
    assert "False" not in lines[2]
    assert "None" not in lines[2]
    assert "No room for: " in " ".join(lines[3:])
