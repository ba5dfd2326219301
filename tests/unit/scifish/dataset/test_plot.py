"""A dataset's picture: small, whole, and never at the cost of anything else."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scifish.dataset.plot import PICTURE_PIXELS, PlotError, png
from scifish.message.types import MAX_RECORDED_PICTURE_BYTES
from scifish.recording.scan_results import MAX_PLOT_POINTS
from tests.waiting import PATIENCE

RANDOM = np.random.default_rng(1)
X = np.linspace(0.0, 1.0, MAX_PLOT_POINTS)


def picture(**plot: Any) -> Image.Image:
    data = png({"title": "#1 ascan mot01", "x_label": "mot01 (mm)", "y_label": "ct01", "z_label": "ct02", **plot})
    assert len(data) < MAX_RECORDED_PICTURE_BYTES
    found = Image.open(io.BytesIO(data))
    assert found.format == "PNG"
    return found


@pytest.mark.parametrize(
    "plot",
    [
        {"x": X, "y": RANDOM.normal(size=MAX_PLOT_POINTS)},
        {"x": RANDOM.uniform(size=MAX_PLOT_POINTS), "y": RANDOM.uniform(size=MAX_PLOT_POINTS)},
        {"x": X, "y": RANDOM.uniform(size=MAX_PLOT_POINTS), "z": RANDOM.normal(size=MAX_PLOT_POINTS)},
        {"x": [3.0], "y": [4.0]},
        {"x": [0.0], "y": [0.0]},
        {"x": [1, 2, 3], "y": [5, 5, 5]},
        {"x": [0, 1, 0, 1], "y": [0, 0, 1, 1], "z": [1, 2, 3, 4]},
        {"x": [0, 0], "y": [1, 1], "z": [2, 2]},
        {"x": [1.0, 2.0], "y": [1e-300, 1e299]},
        {"x": [1.0, float("nan"), 3.0], "y": [1.0, 2.0, float("inf")]},
        {"x": [1, 2], "y": [1, 2], "title": r"$\frac{" + "a\n\x07" * 200, "x_label": "$^", "y_label": "_}" * 100},
        {"x": [1, 2], "y": [1, 2], "title": None, "x_label": None},
    ],
)
def test_what_can_be_drawn_is_small_enough(plot: Any) -> None:
    assert picture(**plot).size == PICTURE_PIXELS


def test_what_is_too_large_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scifish.dataset.plot.MAX_RECORDED_PICTURE_BYTES", 20_000)
    data = png({"x": X, "y": RANDOM.uniform(size=MAX_PLOT_POINTS), "z": RANDOM.normal(size=MAX_PLOT_POINTS)})
    assert len(data) < 20_000
    assert min(Image.open(io.BytesIO(data)).size) > 100


@pytest.mark.parametrize(
    "plot",
    [
        {"x": [0.0, 1.0, 2.0], "y": [0.0, 2.0, 1.0]},
        {"x": [0, 1, 2] * 3, "y": [0, 0, 0, 1, 1, 1, 2, 2, 2], "z": range(9)},
    ],
    ids=["a line", "an area"],
)
def test_nothing_is_cut_off_at_the_edges(plot: Any) -> None:
    pixels = np.asarray(picture(**plot, title="#123 ascan mot01 0.0 1.0 20 0.1").convert("L"))
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
        assert edge.min() > 250  # white
    assert pixels.min() < 120


def test_an_interrupted_mesh_is_empty_where_it_was_not_measured() -> None:
    x, y = (axis.ravel()[:55] for axis in np.meshgrid(np.arange(10.0), np.arange(6.0)))
    red, green, blue = np.asarray(picture(x=x, y=y, z=np.ones(55)).convert("RGB"))[35, 120:380].T.astype(int)
    assert (red[:60] < 240).all()  # the cells that were measured
    assert (red[-60:] == 255).all()
    assert (green[-60:] == 255).all()
    assert (blue[-60:] == 255).all()


@pytest.mark.parametrize(
    ("plot", "says"),
    [
        ({}, "different lengths|not numbers|no points"),
        ({"x": [], "y": []}, "no points"),
        ({"x": [float("nan")], "y": [1.0]}, "no points"),
        ({"x": [1, 2], "y": [1]}, "different lengths"),
        ({"x": ["a"], "y": [1]}, "not numbers"),
    ],
)
def test_what_cannot_be_drawn_is_reported(plot: Any, says: str) -> None:
    with pytest.raises(PlotError, match=says):
        png(plot)


PROGRAM = """
import sys
sys.modules["matplotlib"] = None
from scifish.dataset.plot import PlotError, png
try:
    png({"x": [1], "y": [1]})
except PlotError as error:
    print(error)
"""


def test_matplotlib_is_missed_only_when_something_is_drawn() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=PATIENCE)
    assert "the extra [plot]" in done.stdout, done.stderr
