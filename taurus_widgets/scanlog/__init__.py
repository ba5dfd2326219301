"""The scan log: a table of the datasets of a catalogue that fills itself."""

from taurus_widgets.scanlog.window import ScanLog

__all__ = ["ScanLog"]
