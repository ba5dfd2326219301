"""A small disk of the test's own that can be filled: a tmpfs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

MEGABYTES = 256
"""Room for all that waits in a long time without Kafka."""

ISOLATED = "SCIFISH_FAULTS_ISOLATED"


def isolate(module: str, arguments: list[str]) -> None:
    """Start this program again in a mount namespace of its own, so that its mounts end with it.

    Who is not root gets a user namespace too. Where the machine allows neither, nothing changes.
    """
    if ISOLATED in os.environ:
        return
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    try:
        allowed = subprocess.run([*unshare, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    if allowed:
        os.execvpe(unshare[0], [*unshare, sys.executable, "-m", module, *arguments], {**os.environ, ISOLATED: "yes"})


class Disk:
    """A folder on a disk of its own, if mounting is allowed: `refused` says why not."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._ballast = folder / "ballast"
        self.refused = "no mount namespace is allowed here (unshare)"
        if ISOLATED in os.environ:
            argv = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)]
            self.refused = subprocess.run(argv, capture_output=True, text=True).stderr.strip()

    def fill(self) -> None:
        """Until not one byte is left."""
        block = bytes(1 << 16)
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(block):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of it, and of all that is on it."""
        if not self.refused:
            subprocess.run(["umount", str(self._ballast.parent)], check=True)
