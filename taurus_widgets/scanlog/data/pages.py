"""Reads one query of a catalogue in pieces: the top, any page, and the number of datasets. No Qt here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ingest.scicat import SciCat, SciCatError
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.query import NEWEST_FIRST, DatasetQuery, order, stored_fields, where, with_order

ROWS_PER_PAGE = 100
"""Rows that are read at once: more than a screen has."""

ROWS_PER_EXPORT_PAGE = 500
"""Rows of a page when all rows are read."""

TABLE_FIELDS = ("pid", "creationTime", "createdAt", "updatedAt")
"""Fields that the table itself needs."""


@dataclass(frozen=True)
class Top:
    """The start of a table: its first rows, and the catalogue's latest `updatedAt` before they were read."""

    rows: list[Json]
    since: str


@dataclass(frozen=True)
class Pages:
    """Reads the pages of a query. Threads may share it. Its calls raise SciCatError.

    `bound` excludes newer datasets, so that the numbers of rows stay the same while datasets arrive.
    """

    scicat: SciCat
    query: DatasetQuery
    fields: tuple[str, ...]

    def top(self, limit: int = ROWS_PER_PAGE) -> Top:
        latest = self._rows({}, ["pid", "updatedAt"], "updatedAt:desc", 1, 0)
        since = str(latest[0].get("updatedAt", "")) if latest else ""
        return Top(self.page(0, limit), since)

    def page(
        self, skip: int, limit: int = ROWS_PER_PAGE, bound: Json | None = None, fields: Iterable[str] = ()
    ) -> list[Json]:
        """`limit` rows from row `skip` on; fewer only at the end."""
        wanted = with_order(stored_fields([*TABLE_FIELDS, *(fields or self.fields)]), self.query)
        return self._rows(self.where(bound), wanted, order(self.query), limit, skip)

    def count(self, bound: Json | None = None) -> int:
        count = self.scicat.count(self.where(bound))
        if not count and self.scicat.revived():
            count = self.scicat.count(self.where(bound))
        return count

    def newer(self, dataset: Json, bound: Json | None = None) -> int:
        """The number of rows above this dataset, newest first."""
        after = {NEWEST_FIRST: {"$gt": dataset[NEWEST_FIRST]}}
        return self.scicat.count(where(self.query, after, *_given(bound)))

    def named(self, pids: list[str], fields: Iterable[str]) -> list[Json]:
        """The datasets with these pids in this order, without deleted ones."""
        found: dict[str, Json] = {}
        for first in range(0, len(pids), ROWS_PER_PAGE):
            some = pids[first : first + ROWS_PER_PAGE]
            rows = self._rows(
                {"pid": {"$in": some}}, stored_fields([*TABLE_FIELDS, *fields]), "creationTime:desc", ROWS_PER_PAGE, 0
            )
            found.update((row["pid"], row) for row in rows)
        return [found[pid] for pid in pids if pid in found]

    def all(self, first: int, last: int | None, bound: Json | None, fields: Iterable[str]) -> Iterator[list[Json]]:
        """Read the rows from `first` to before `last` (None: to the end) page by page."""
        while last is None or first < last:
            limit = ROWS_PER_EXPORT_PAGE if last is None else min(ROWS_PER_EXPORT_PAGE, last - first)
            rows = self.page(first, limit, bound, fields)
            if rows:
                yield rows
            if len(rows) < limit:
                return
            first += limit

    def where(self, bound: Json | None = None) -> Json:
        return where(self.query, *_given(bound))

    # ---------------------------------------------------------------------------- private

    def _rows(self, condition: Json, fields: list[str], by: str, limit: int, skip: int) -> list[Json]:
        found = checked(self.scicat.datasets(condition, fields, by, limit, skip))
        if not found and self.scicat.revived():
            found = checked(self.scicat.datasets(condition, fields, by, limit, skip))
        return found


def _given(bound: Json | None) -> list[Json]:
    return [bound] if bound else []


def checked(answer: Any) -> list[Json]:
    """The datasets of an answer. Raises SciCatError if it is not a list of datasets."""
    if not isinstance(answer, list):
        raise SciCatError("GET /api/v3/datasets", 200, "the answer is not a list of datasets")
    return [dataset for dataset in answer if isinstance(dataset, dict) and isinstance(dataset.get("pid"), str)]
