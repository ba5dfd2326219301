"""Names of files: which are hidden or temporary, and how one is shown to a person."""

from __future__ import annotations

_OTHERS = frozenset({"lost+found", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"})
"""What file systems and Windows put into a folder."""

_ENDINGS = (
    *("~", ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload"),
    *(".swp", ".swo", ".swx", ".lock", ".lck"),
)


def is_passing(name: str) -> bool:
    """Whether a file or folder of this name is hidden or temporary: no measurement, and renamed when it becomes one."""
    small = name.lower()
    return small.startswith((".", "~$")) or small.endswith(_ENDINGS) or small in _OTHERS


def printable(path: str) -> str:
    r"""The path for a message or a log: bytes that are not UTF-8, and line ends, as escapes (`\xff`, `\n`)."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
