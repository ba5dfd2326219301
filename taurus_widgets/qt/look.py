"""The look that all windows share: distances, heights, weights of text, icons and the styles of buttons and fields.

docs/explanation/look.md shows it. Colours by meaning are in `painting`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import qtawesome
from taurus.external.qt import Qt

from taurus_widgets.qt.painting import colours, isDark

GRID = 4
"""Pixels. All distances are multiples of it."""

GAP = 2 * GRID
"""Between two widgets beside each other, and between a widget and the edge of its pane."""

RADIUS = GRID
"""Of the corners of buttons and fields."""

COMFORTABLE, DENSE = 3 * GRID, GRID
"""What a row of a table is higher than its text."""

ICON_SIZE = Qt.QSize(4 * GRID, 4 * GRID)


def icon(name: str, palette: Qt.QPalette, shade: str = "") -> Qt.QIcon:
    """An icon of the one set that is used, Material Design Icons 6, in the colour of the text or in `shade`."""
    colour = shade or palette.color(Qt.QPalette.ButtonText).name()
    off = palette.color(Qt.QPalette.Disabled, Qt.QPalette.ButtonText).name()
    return qtawesome.icon(f"mdi6.{name}", color=colour, color_disabled=off)


def rowHeight(metrics: Qt.QFontMetrics, more: int = COMFORTABLE) -> int:
    return int(metrics.height()) + more


@lru_cache(maxsize=16)
def _tabular(description: str) -> Qt.QFont:
    font = Qt.QFont()
    font.fromString(description)
    metrics = Qt.QFontMetrics(font)
    if len({metrics.horizontalAdvance(digit) for digit in "0123456789"}) > 1:
        fixed = Qt.QFontDatabase.systemFont(Qt.QFontDatabase.FixedFont)
        fixed.setPointSizeF(font.pointSizeF())
        return fixed
    return font


def tabularFont(font: Qt.QFont) -> Qt.QFont:
    """The font, if all its digits have the same width; otherwise the desktop's one for columns of figures."""
    return _tabular(font.toString())


def strong(font: Qt.QFont) -> Qt.QFont:
    """The heavier one of the two weights in use."""
    heavier = Qt.QFont(font)
    heavier.setWeight(Qt.QFont.DemiBold)
    return heavier


def style(palette: Qt.QPalette) -> str:
    """The style sheet of a window. The property `primary` marks the one button that matters, `chip` a small mark."""
    shades = colours(palette)
    arrow = Path(__file__).with_name(f"arrow-{'dark' if isDark(palette) else 'light'}.png").as_posix()
    return f"""
        QDialog {{ background: {shades.pane}; }}
        QPushButton, QToolButton[framed="true"] {{
            background: {shades.field}; color: {shades.text}; border: 1px solid {shades.edge};
            border-radius: {RADIUS}px; padding: {GRID}px {3 * GRID}px; min-height: {4 * GRID}px;
        }}
        QPushButton:hover, QToolButton[framed="true"]:hover {{ background: {shades.hover}; }}
        QPushButton:focus, QToolButton[framed="true"]:focus {{ border: 2px solid {shades.accent};
            padding: {GRID - 1}px {3 * GRID - 1}px; }}
        QPushButton:disabled, QToolButton[framed="true"]:disabled {{ color: {shades.disabled}; }}
        QToolButton[framed="true"]::menu-indicator {{ image: none; }}
        QPushButton[primary="true"] {{ background: {shades.accent}; color: {shades.onAccent};
            border-color: {shades.accent}; }}
        QPushButton[primary="true"]:focus {{ border-color: {shades.text}; }}
        QPushButton[primary="true"]:disabled {{ background: {shades.field}; color: {shades.disabled};
            border-color: {shades.edge}; }}
        QLineEdit, QComboBox {{
            background: {shades.field}; color: {shades.text}; border: 1px solid {shades.edge};
            border-radius: {RADIUS}px; padding: {GRID}px {GAP}px;
            selection-background-color: {shades.accent}; selection-color: {shades.onAccent};
        }}
        QLineEdit:focus, QComboBox:focus {{ border: 2px solid {shades.accent};
            padding: {GRID - 1}px {GAP - 1}px; }}
        QComboBox::drop-down {{ border: none; width: {6 * GRID}px; }}
        QComboBox::down-arrow {{ image: url("{arrow}"); width: {3 * GRID}px; height: {3 * GRID}px; }}
        QTreeView QLineEdit, QTreeView QComboBox {{ padding: 0 {GRID}px; border-radius: 0; }}
        QLabel[chip="true"] {{ background: {shades.chip}; border-radius: {2 * GRID}px;
            padding: {GRID // 2}px {GAP}px; }}
        QLabel[muted="true"] {{ color: {shades.muted}; }}
        QTreeView, QTableView {{ border: none; background: {shades.field}; color: {shades.text}; outline: 0;
            selection-background-color: {shades.selection}; selection-color: {shades.text}; }}
        QTableView QHeaderView::section {{ padding: {GRID}px 3px; }}
        QTableView::item:selected, QTreeView::item:selected {{ background: {shades.selection}; color: {shades.text}; }}
        QTreeView[pane="true"] {{ background: {shades.pane}; }}
        QHeaderView {{ background: {shades.pane}; border: none; }}
        QHeaderView::section {{ background: {shades.field}; color: {shades.muted}; border: none;
            border-bottom: 1px solid {shades.line}; padding: {GRID}px {GAP}px; }}
        QWidget[pane="true"] {{ background: {shades.pane}; }}
        QWidget[field="true"] {{ background: {shades.field}; }}
        QSplitter::handle {{ background: {shades.line}; }}
    """


def focusShade(palette: Qt.QPalette) -> Qt.QColor:
    """The colour of the frame around what has the focus."""
    return Qt.QColor(colours(palette).accent)
