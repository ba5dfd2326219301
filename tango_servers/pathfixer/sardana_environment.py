"""Encodes and decodes a MacroServer's attribute `Environment`: a pickle, in the format of taurus's codec."""

from __future__ import annotations

import io
import pickle
from typing import Any

ENVIRONMENT_FORMAT = "pickle"


def encode_variable(variable: str, value: str) -> tuple[str, bytes]:
    """What to write so that the variable gets this value."""
    return ENVIRONMENT_FORMAT, pickle.dumps({"new": {variable: value}})


def decode_variable(encoded: tuple[str, bytes], variable: str) -> Any:
    """The value of a variable in what was read; None if it is not set. Other than plain values become an `Opaque`.

    A pickle from the network could run any code; here nothing is imported and nothing is called.
    Raises ValueError if it cannot be decoded.
    """
    try:
        return _PlainUnpickler(io.BytesIO(encoded[1])).load()["new"].get(variable)
    except Exception as error:
        raise ValueError(f"the environment cannot be read: {error}") from error


class Opaque:
    """Stands for an object of any class, and for any function. It ignores all calls."""

    def __init__(self, *_: object, **__: object) -> None:
        """Ignores the arguments."""

    def __call__(self, *_: object) -> Opaque:
        return self

    def _ignore(self, *_: object) -> None:
        """Ignores what a pickle adds to the object."""

    __setstate__ = __setitem__ = append = extend = add = _ignore

    def __repr__(self) -> str:
        return "an object"


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        return Opaque
