"""The scan log: a table of the datasets of a catalogue that fills itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taurus_widgets.scanlog.window import ScanLog

__all__ = ["ScanLog"]


def __getattr__(name: str) -> Any:
    """Imports `ScanLog` at its first use: with it come Taurus and Qt, which the table in a terminal does not need."""
    if name == "ScanLog":
        from taurus_widgets.scanlog.window import ScanLog

        return ScanLog
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
