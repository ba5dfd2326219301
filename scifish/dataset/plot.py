"""The plot of a dataset: a small PNG. It is drawn in the companion process, not in the measuring program.

Needs matplotlib (extra `plot`), which is loaded when the first picture is drawn.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import Any

from scifish.message import Message
from scifish.message.types import MAX_RECORDED_PICTURE_BYTES

PICTURE_PIXELS = (480, 320)
"""Width and height in pixels."""

DPI = 100

LINE_COLOUR = "#1f5fa8"
TEXT_COLOUR = "#333333"
GRID_COLOUR = "#e4e4e4"

MAX_MARKED_POINTS = 60
"""Maximum number of points that are marked one by one."""

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

AREA_CELLS = (240, 160)
"""Columns and rows of the coloured area."""


class PlotError(RuntimeError):
    """No picture can be drawn. The text says why, for people."""


def data_uri(picture: bytes) -> str:
    """The picture as a data URI, as SciCat stores it and browsers show it."""
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")


def png(plot: Message) -> bytes:
    """The picture, of less than `MAX_RECORDED_PICTURE_BYTES`. PlotError: nothing to draw, or matplotlib is missing.

    `plot` has lists `x` and `y` of the same length with texts `x_label` and `y_label`, and a `title`;
    with a list `z` and its `z_label` the points are coloured cells over x and y.
    """
    try:
        import numpy as np
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotError(f"no plot: matplotlib is needed (the extra [plot]): {error}") from error
    names = ("x", "y", "z") if plot.get("z") is not None else ("x", "y")
    columns, powers = zip(*(_scaled(column) for column in _columns(np, plot, names)), strict=True)
    labels = [_text(plot.get(f"{name}_label"), 34) + power for name, power in zip(names, powers, strict=True)]
    figure = Figure(figsize=(PICTURE_PIXELS[0] / DPI, PICTURE_PIXELS[1] / DPI), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    _dress(axes, _text(plot.get("title"), 56), labels)
    try:
        if len(columns) == 3:
            _draw_area(np, figure, axes, columns, labels[2])
        else:
            _draw_line(axes, columns)
        return _small(figure)
    except (ValueError, ArithmeticError, MemoryError) as error:
        raise PlotError(f"no plot: {error}") from error


def _columns(np: Any, plot: Message, names: tuple[str, ...]) -> list[Any]:
    """The points that are finite on all axes, as one array for each axis."""
    try:
        columns = [np.asarray(plot.get(name), dtype=float).ravel() for name in names]
    except (TypeError, ValueError) as error:
        raise PlotError(f"no plot: the values are not numbers: {error}") from error
    if len({len(column) for column in columns}) != 1:
        raise PlotError(f"no plot: {', '.join(names)} have different lengths")
    finite = np.all([np.isfinite(column) & (abs(column) < 1e300) for column in columns], axis=0)
    if not finite.any():
        raise PlotError("no plot: there are no points")
    return [column[finite] for column in columns]


def _scaled(column: Any) -> tuple[Any, str]:
    """Very large and very small numbers scaled by a power of 1000, and the text for the axis's label."""
    largest = float(abs(column).max())
    if largest == 0 or 1e-3 <= largest < 1e6:
        return column, ""
    power = math.floor(math.log10(largest) / 3) * 3
    return column / 10.0**power, f"  \u00d710{str(power).translate(SUPERSCRIPTS)}"


def _dress(axes: Any, title: str, labels: list[str]) -> None:
    # parse_math off: texts of users are plain text, also with a dollar sign.
    axes.set_title(title, fontsize=9, color=TEXT_COLOUR, loc="left", parse_math=False)
    axes.set_xlabel(labels[0], fontsize=9, color=TEXT_COLOUR, parse_math=False)
    axes.set_ylabel(labels[1], fontsize=9, color=TEXT_COLOUR, parse_math=False)
    axes.tick_params(labelsize=8, color=TEXT_COLOUR, labelcolor=TEXT_COLOUR)
    axes.locator_params(nbins=6)
    axes.ticklabel_format(style="plain", useOffset=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")


def _draw_line(axes: Any, columns: Sequence[Any]) -> None:
    x, y = columns
    axes.grid(color=GRID_COLOUR, linewidth=0.7)
    axes.set_axisbelow(True)
    few = len(x) <= MAX_MARKED_POINTS
    axes.plot(x, y, color=LINE_COLOUR, linewidth=1.2 if few else 0.9, marker="o" if few else "", markersize=3.5)
    for set_limits, values in ((axes.set_xlim, x), (axes.set_ylim, y)):
        if values.min() == values.max():  # matplotlib would zoom into nothing
            margin = abs(values[0]) * 0.1 or 1.0
            set_limits(values[0] - margin, values[0] + margin)


def _draw_area(np: Any, figure: Any, axes: Any, columns: Sequence[Any], label: str) -> None:
    x, y = columns[:2]
    steps = [_steps(np, values) for values in (x, y)]
    cells = (steps[0] + 1) * (steps[1] + 1)
    if cells <= 2 * len(x):  # a mesh; if points were dropped, their neighbours fill the gaps
        reach = 0.75 if len(x) >= 0.75 * cells else 1.1
    else:  # about the square root of the number of points on each axis
        steps, reach = [math.isqrt(len(x))] * 2, 1.5
    edges = [_edges(values, count) for values, count in zip((x, y), steps, strict=True)]
    reaches = [reach * (high - low) / (count + 1) for (low, high), count in zip(edges, steps, strict=True)]
    picture = _nearest(np, columns, edges, reaches)
    extent = (*edges[0], *edges[1])
    image = axes.imshow(picture, extent=extent, origin="lower", aspect="auto", interpolation="nearest", cmap="viridis")
    bar = figure.colorbar(image, ax=axes, pad=0.02, fraction=0.06)
    bar.set_label(label, fontsize=9, color=TEXT_COLOUR, parse_math=False)
    bar.ax.tick_params(labelsize=8, color=TEXT_COLOUR, labelcolor=TEXT_COLOUR)
    bar.formatter.set_useOffset(False)
    bar.formatter.set_scientific(False)
    bar.outline.set_visible(False)


def _steps(np: Any, values: Any) -> int:
    """The number of steps of this axis. Positions within a hundredth of its range count as one."""
    span = float(values.max() - values.min()) or 1.0
    return max(len(np.unique(np.round((values - values.min()) / span, 2))) - 1, 1)


def _edges(values: Any, steps: int) -> tuple[float, float]:
    """The limits of the picture on this axis: half a cell beyond the outermost points."""
    low, high = float(values.min()), float(values.max())
    margin = ((high - low) or abs(low) * 0.1 or 1.0) / max(steps, 1) / 2
    return low - margin, high + margin


def _nearest(np: Any, columns: Sequence[Any], edges: list[tuple[float, float]], reaches: list[float]) -> Any:
    """Each pixel with the value of its nearest point: cells for a mesh, patches for a spiral.

    Pixels that are farther from it than `reaches`, horizontally or vertically, stay empty.
    """
    x, y, z = columns
    pixels = [np.linspace(low, high, 2 * count + 1)[1::2] for (low, high), count in zip(edges, AREA_CELLS, strict=True)]
    across = np.abs(pixels[0][:, None] - x[None, :]) / reaches[0]
    picture = np.empty((AREA_CELLS[1], AREA_CELLS[0]))
    for row, height in enumerate(pixels[1]):
        up = np.abs(height - y) / reaches[1]
        nearest = np.argmin(across**2 + up[None, :] ** 2, axis=1)
        empty = (across[np.arange(len(nearest)), nearest] > 1.0) | (up[nearest] > 1.0)
        picture[row] = np.where(empty, np.nan, z[nearest])
    return picture


def _small(figure: Any) -> bytes:
    """The figure as PNG. If it is too large: with fewer colours, and then with fewer pixels."""
    from PIL import Image  # matplotlib depends on it

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    data = buffer.getvalue()
    width, height = PICTURE_PIXELS
    while len(data) >= MAX_RECORDED_PICTURE_BYTES:
        with Image.open(io.BytesIO(buffer.getvalue())) as picture:
            smaller = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).quantize(64)
        again = io.BytesIO()
        smaller.save(again, format="PNG", optimize=True)
        data = again.getvalue()
        width, height = width * 4 // 5, height * 4 // 5
    return data


def _text(given: Any, limit: int) -> str:
    """The text on one line, cut to `limit` characters."""
    text = "".join(letter if letter.isprintable() else " " for letter in str(given or ""))
    return text if len(text) <= limit else text[: limit - 3].rstrip(" .") + "..."
