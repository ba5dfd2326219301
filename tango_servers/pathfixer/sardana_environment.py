"""A MacroServer's environment, as its attribute `Environment` carries it: pickled, as taurus's codec has it."""

from __future__ import annotations

import io
import pickle
from typing import Any

FORMAT = "pickle"


def setting(variable: str, value: str) -> tuple[str, bytes]:
    """To be written: this variable is to have this value."""
    return FORMAT, pickle.dumps({"new": {variable: value}})


def value(encoded: tuple[str, bytes], variable: str) -> Any:
    """The value of a variable in what was read; None if it is not set. What is no plain value comes as an `Opaque`.

    A pickle from the network could run any code; in this one nothing is imported and nothing called.
    Raises ValueError if it cannot be understood.
    """
    try:
        return _Reader(io.BytesIO(encoded[1])).load()["new"].get(variable)
    except Exception as error:
        raise ValueError(f"the environment cannot be read: {error}") from error


class Opaque:
    """Stands for an object of any class, and for any function. Whatever is done to it has no effect."""

    def __init__(self, *_: object, **__: object) -> None:
        """What the object is made of is left out."""

    def __call__(self, *_: object) -> Opaque:
        return self

    def _ignore(self, *_: object) -> None:
        """So is all that a pickle adds to it."""

    __setstate__ = __setitem__ = append = extend = add = _ignore

    def __repr__(self) -> str:
        return "an object"


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        return Opaque
