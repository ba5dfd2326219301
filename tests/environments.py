"""What is installed beside the tests' own environment, below `build/`, at its first use: by uv, else by pip.

subprocess.CalledProcessError if it cannot be installed.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.paths import ROOT

MXCUBE_GEVENT = "23.9.1"
"""What mxcubecore 2.149 needs; the extra `test` has the newest one."""

MXCUBECORE = "2.149.0"

LEFT_OUT = ("python-ldap",)
"""Requirements of mxcubecore that have to be compiled, and that nothing here imports."""


BUILD = ROOT / "build"


def gevent_folder(version: str = MXCUBE_GEVENT) -> Path:
    """A folder with this version of gevent, to be put into PYTHONPATH."""
    folder = BUILD / f"gevent-{version}"
    with _lock(folder):
        if not folder.is_dir():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            _install(sys.executable, "--target", str(part), f"gevent=={version}")
            part.rename(folder)
    return folder


def mxcube_python() -> str:
    """The Python of an environment with mxcubecore, and with this project as `pip install` without an extra has it."""
    folder = BUILD / f"mxcubecore-{MXCUBECORE}"
    python = folder / "bin" / "python"
    with _lock(folder):
        if not (folder / ".ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            _install(str(python), "--no-deps", f"mxcubecore=={MXCUBECORE}")
            list_them = "import importlib.metadata; print('\\n'.join(importlib.metadata.requires('mxcubecore')))"
            listed = subprocess.run([python, "-c", list_them], check=True, capture_output=True, text=True)
            needed = [line for line in listed.stdout.splitlines() if "extra ==" not in line]
            needed = [line for line in needed if not re.match("|".join(LEFT_OUT), line)]
            _install(str(python), *needed, "--editable", str(ROOT))
            (folder / ".ready").touch()
    return str(python)


def _install(python: str, *what: str) -> None:
    uv = shutil.which("uv")
    command = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    subprocess.run([*command, "--quiet", *what], check=True)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Tests run in several processes."""
    folder.parent.mkdir(exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
