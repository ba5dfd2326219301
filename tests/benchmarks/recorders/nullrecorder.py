"""A recorder that does nothing: what Sardana itself spends on having one."""

from __future__ import annotations

from sardana.macroserver.scan.recorder import DataRecorder

__all__ = ["NullRecorder"]


class NullRecorder(DataRecorder):
    """All is inherited; a MacroServer takes only classes that are defined in the file."""

    def __init__(self, macro: object = None, **_: object) -> None:
        DataRecorder.__init__(self)
