"""Sardana's commands as people typed them."""

from __future__ import annotations

_DEFAULTS = {
    **dict.fromkeys(("mesh", "dmesh"), (11, ("False", "None"))),
    **dict.fromkeys(("meshc", "dmeshc"), (10, ("False",))),
    "meshct": (11, ("False", "0")),
    **{f"{kind}{'' if count == 1 else count}scanc": (2 + 3 * count, ("1",)) for kind in "ad" for count in range(1, 5)},
    **{f"a{'' if count == 1 else count}scanct": (4 + 3 * count, ("0", "None")) for count in range(1, 5)},
    "dscanct": (6, ("0",)),
    "timescan": (3, ("0",)),
}
"""Of Sardana's own scans whose last parameters may be left out: how many parameters, and the last ones' defaults."""


def as_typed(command: str) -> str:
    """The command without the defaults that Sardana writes for what nobody typed.

    `mesh mot01 0 1 10 mot02 0 1 10 0.1 False None` is `mesh mot01 0 1 10 mot02 0 1 10 0.1`. The meaning is the same.
    """
    words = command.split(" ")
    count, defaults = _DEFAULTS.get(words[0], (0, ()))
    if len(words) != count + 1:
        defaults = ()
    while defaults and _same(words[-1], defaults[-1]):
        words, defaults = words[:-1], defaults[:-1]
    while not defaults and len(words) > 1 and words[-1] == "None":
        words.pop()  # Sardana's word for a parameter that was not given; nobody types it
    return " ".join(words)


def _same(word: str, default: str) -> bool:
    """0.0 is 0: a parameter may have been made a float."""
    return default in (word, word.removesuffix(".0"))
