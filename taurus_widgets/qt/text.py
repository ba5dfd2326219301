"""."""

from __future__ import annotations

import html

from taurus.external.qt import Qt

from taurus_widgets.scanlog.data.columns import Kind

DATASET_ROLE = Qt.Qt.UserRole
"""The whole dataset of a row; None while it is not read yet. Who has the model asks for `dataset(row)` instead:
Qt copies it at each question."""


COLUMN_ROLE = Qt.Qt.UserRole + 1
"""The Column of a section of the header."""


ALIGNMENT = {Kind.NUMBER: Qt.Qt.AlignRight}


def tooltip(text: str) -> str:
    """Text for a tool tip. Qt takes what looks like HTML there for HTML, so it is escaped."""
    return f'<p style="white-space: pre-wrap">{html.escape(text)}</p>' if text else ""
