"""Sardana's commands as the user typed them."""

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
"""Sardana's scans with optional last parameters: the number of parameters, and the defaults of the last ones."""


def as_typed(command: str) -> str:
    """The command without the defaults that Sardana adds for missing parameters.

    `mesh mot01 0 1 10 mot02 0 1 10 0.1 False None` becomes `mesh mot01 0 1 10 mot02 0 1 10 0.1`, with the same meaning.
    """
    words = command.split(" ")
    count, defaults = _DEFAULTS.get(words[0], (0, ()))
    if len(words) != count + 1:
        defaults = ()
    while defaults and _same(words[-1], defaults[-1]):
        words, defaults = words[:-1], defaults[:-1]
    while not defaults and len(words) > 1 and words[-1] == "None":
        words.pop()  # Sardana writes this for a missing parameter; nobody types it
    return " ".join(words)


def _same(word: str, default: str) -> bool:
    """Whether a word is the default; 0.0 equals 0, because Sardana may have converted it."""
    return default in (word, word.removesuffix(".0"))
