"""An embedded catalogue that is full from the start: written into its file, as 244,781 calls would take hours."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ingest.embedded import dataset_forms
from ingest.embedded.access import COLLECTIONS, DATASETS
from ingest.embedded.store import Store
from tests.benchmarks.figures import progress
from tests.builders.scicat_datasets import Json, scan

SPACING = 90.0
"""Seconds from the start of one scan to that of the next."""

TITLES = ("ascan mot01 0 10 20 0.1", "mesh mot01 0 1 10 mot02 0 1 10 0.1", "timescan 60 0.5", "dscan mot03 -1 1 40 0.2")
STATUSES = (*["completed"] * 17, "failed", "aborted", "stopped")
SAMPLES = ("lysozyme-3", "Cu foil", "empty cell", "ferritin", "thaumatin")


def dataset(number: int, start: float, proposal: str, **fields: object) -> Json:
    """One of many, that differ in what one sorts and filters by."""
    found = scan(
        number,
        start,
        TITLES[number % len(TITLES)],
        STATUSES[number * 7 % len(STATUSES)],
        seconds=1.0 + number % 61,
        proposal=proposal,
        points=11 + number * 31 % 400,
        sampleId=SAMPLES[number // 40 % len(SAMPLES)],
        **fields,
    )
    found["scientificMetadata"]["Optics"]["Energy"]["value"] = 5 + number * 7919 % 20_000 / 1000
    return found


def fill(folder: Path, count: int, end: float) -> None:
    """Make `catalogue.sqlite` in the folder with so many datasets, the last of which began at `end` (s since 1970)."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "catalogue.sqlite"
    Store(file, COLLECTIONS).close()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")  # nobody needs this file after a power cut
        connection.execute("PRAGMA cache_size = -400000")
        connection.execute("BEGIN")
        for number in range(count):
            made = dataset(number, end - SPACING * (count - 1 - number), f"{20240000 + number // 500:08d}")
            document = dataset_forms.created(dataset_forms.from_v3(made), "v3")
            when = document["creationTime"]
            DATASETS.insert(connection, {**document, "createdAt": when, "updatedAt": when, "createdBy": "ingestor"})
            if number % 1000 == 0:
                progress(f"filling the catalogue: {number} of {count} datasets")
        connection.execute("COMMIT")
