"""The base of the file formats: it takes rows, and is then finished or abandoned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.exporting.pictures import PictureFile


class RowWriter(ABC):
    """Writes one format into a file that is open in binary mode and stays open. A context manager."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    @abstractmethod
    def row(self, dataset: Json, pictures: list[PictureFile]) -> None:
        """Write the next row. Raises OSError if that fails."""

    @abstractmethod
    def finish(self) -> None:
        """Write what follows the rows. Raises OSError."""

    def abandon(self) -> None:
        """Close everything except the file, which will be deleted. Raises nothing."""
        return
