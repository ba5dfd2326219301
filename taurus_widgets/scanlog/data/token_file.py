"""A token on disk, for who wants to stay logged in: in a file of mode 0600, one for each catalogue."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from scifish.settings.atomic_file import write_atomically
from taurus_widgets.scanlog.data.state_folder import makePrivate


@dataclass(frozen=True)
class StoredLogin:
    """A login."""

    username: str
    token: str = field(repr=False)


class TokenFile:
    """The login that is kept for one catalogue, whose address is `url`."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self.path = folder / f"login-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"

    def read(self) -> StoredLogin | None:
        """None if there is none. OSError, which never quotes it, if others could have read it, or changed it."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        with open(handle, encoding="utf-8") as file:
            status = os.fstat(handle)
            if status.st_uid != os.getuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise OSError(f"{self.path} can be read by others: remove it, and log in again")
            text = file.read()
        try:
            found = json.loads(text)
            if found["url"] == self._url:
                return StoredLogin(str(found["username"]), str(found["token"]))
        except (ValueError, KeyError, TypeError):
            # Without what it says: there may be a token in it.
            raise OSError(f"{self.path} holds no login: remove it, and log in again") from None
        raise OSError(f"{self.path} holds a login for another catalogue: remove it, and log in again")

    def write(self, login: StoredLogin) -> None:
        """OSError if it cannot be kept."""
        makePrivate(self._folder)
        write_atomically(self.path, json.dumps({"url": self._url, "username": login.username, "token": login.token}))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
