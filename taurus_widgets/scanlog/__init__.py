"""."""

from taurus_widgets.scanlog.view import ScanLog

__all__ = ["ScanLog"]
