"""SciFish: the acquisition side as a library.

    from scifish import SciFish

`SciFish` is loaded when it is asked for, so that a program that only wants to understand
messages (`scifish.message`) needs neither Tango nor Kafka.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["SciFish"]


def __getattr__(name: str) -> Any:
    if name == "SciFish":
        from scifish.recording.scifish import SciFish

        return SciFish
    raise AttributeError(f"module 'scifish' has no attribute {name!r}")
