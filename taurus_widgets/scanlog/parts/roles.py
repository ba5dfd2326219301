"""Item roles for the dataset of a row and the column of a section, and the alignment of each kind of column."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.scanlog.data.columns import Kind

DATASET_ROLE = Qt.Qt.UserRole
"""The whole dataset of a row; None until it has been read. Code that has the model calls `dataset(row)` instead:
Qt copies the dataset at each call of `data`."""


COLUMN_ROLE = Qt.Qt.UserRole + 1
"""The LogColumn of a section of the header."""


ALIGNMENT = {Kind.NUMBER: Qt.Qt.AlignRight}
"""For the kinds that are not aligned to the left."""
