"""Names of faults that others must not meet, or have to wait for."""

from __future__ import annotations

KAFKA = (
    "Kafka stopped",
    "Kafka killed",
    "message size lowered",
    "batch too large",
    "retention passed",
    "password changed",
    "topic made again",
)
"""Faults of Kafka, one at a time."""

CATALOGUE = ("SciCat stopped", "SciCat killed", "a proxy answers for SciCat")
"""One at a time."""

COW = "SciCow killed"

CLOCK = "clock jumps"

DATABASE = "Tango database away"

MACROSERVER = "MacroServer killed"

FULL = ("spool's disk full", "disk refuses a start")
"""While one of these is there, entries are in memory alone: a kill then loses what nobody could keep."""

LONG = (15.0, 25.0)
"""Seconds of a fault that has to be said by somebody."""
