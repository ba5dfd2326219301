"""The gevent of mxcubecore, for tests that run with it beside the newest one, which the extra `test` has."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from pathlib import Path

MXCUBE_GEVENT = "23.9.1"
"""What mxcubecore 2.149 pins."""

ROOT = Path(__file__).parent.parent


def gevent_folder(version: str = MXCUBE_GEVENT) -> Path:
    """A folder with this version, to be put into PYTHONPATH; installed at the first call, by uv or pip.

    subprocess.CalledProcessError if it cannot be installed.
    """
    folder = ROOT / "build" / f"gevent-{version}"
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        if not (folder / "gevent").is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            uv = shutil.which("uv")
            install = (
                [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
            )
            part = folder.with_suffix(".part")
            subprocess.run([*install, "--quiet", "--target", part, f"gevent=={version}"], check=True)
            part.rename(folder)
    return folder
