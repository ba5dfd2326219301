"""A stored token for users who want to stay logged in: a file of mode 0600 for each catalogue."""

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
    """The stored login of the catalogue at `url`."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = url
        self.path = folder / f"login-{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"

    def read(self) -> StoredLogin | None:
        """The stored login or None. Raises OSError, without the token, if other users can read or change the file."""
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
            # Without the text of the error: it may contain the token.
            raise OSError(f"{self.path} holds no login: remove it, and log in again") from None
        raise OSError(f"{self.path} holds a login for another catalogue: remove it, and log in again")

    def write(self, login: StoredLogin) -> None:
        """Store the login. Raises OSError if that fails."""
        makePrivate(self._folder)
        write_atomically(self.path, json.dumps({"url": self._url, "username": login.username, "token": login.token}))

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
