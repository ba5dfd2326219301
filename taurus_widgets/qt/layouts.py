"""Layouts and tables without the margins, grids and frames that Qt draws by default."""

from __future__ import annotations

from taurus.external.qt import Qt


def tightColumn(parent: Qt.QWidget) -> Qt.QVBoxLayout:
    """The layout of a widget whose parts are below each other, without margins and spacing."""
    layout = Qt.QVBoxLayout(parent)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    return layout


def flatten(table: Qt.QTableView) -> None:
    """Show whole rows in alternating shades, without grid and frame. The key Tab leaves the table."""
    table.setSelectionBehavior(table.SelectRows)
    table.setAlternatingRowColors(True)
    table.setShowGrid(False)
    table.setWordWrap(False)
    table.setTabKeyNavigation(False)
    table.setFrameShape(Qt.QFrame.NoFrame)
