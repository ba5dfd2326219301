"""`scizoo paths` in real installations, and what it prints beside a package `macros` of the beamline's own."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from scizoo.sardana_folders import FOLDERS, FoldersNotFound, sardana_folders
from tests.paths import ROOT
from tests.waiting import PATIENCE


def own_macros(folder: Path) -> Path:
    """A beamline's own package `macros`, as it is in a folder of PYTHONPATH."""
    package = folder / "macros"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('this is the package of the beamline')\n")
    return folder


def printed(python: Path, *words: str, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(python), "-m", "scizoo.cli", "paths", *words],
        env={**os.environ, **(env or {})},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_of_the_editable_installation(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(own_macros(tmp_path))}
    assert printed(Path(sys.executable), env=env).splitlines() == [
        f"RecorderPath: {ROOT / 'sardana_recorders'}",
        f"MacroPath:    {ROOT / 'macros'}",
    ]
    assert printed(Path(sys.executable), "MacroPath", env=env) == f"{ROOT / 'macros'}\n"


def test_of_an_ordinary_installation(tmp_path: Path) -> None:
    """From a wheel, without its dependencies: the command needs none for this."""
    wheels = tmp_path / "wheels"
    build = [sys.executable, "-c", BUILD, str(wheels)]
    subprocess.run(build, cwd=source_copy(tmp_path), check=True, capture_output=True, timeout=300)
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(printed_by(python, "import sysconfig; print(sysconfig.get_path('purelib'))"))
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True, timeout=PATIENCE)
    env = {"PYTHONPATH": str(own_macros(tmp_path / "own"))}
    assert printed(python, env=env).split() == [
        *("RecorderPath:", str(site / "sardana_recorders")),
        *("MacroPath:", str(site / "macros")),
    ]


BUILD = (
    "import os, sys; from setuptools import build_meta; os.makedirs(sys.argv[1]); build_meta.build_wheel(sys.argv[1])"
)


def source_copy(folder: Path) -> Path:
    """What a wheel is built from: building writes beside it."""
    copy = folder / "source"
    copy.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for package in {name.partition(".")[0] for name in packages()}:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def packages() -> list[str]:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    return settings["options"]["packages"].split()


def printed_by(python: Path, program: str) -> str:
    done = subprocess.run([str(python), "-c", program], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return done.stdout.strip()


def test_a_distribution_that_is_not_there_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scizoo.sardana_folders.DISTRIBUTION", "no-such-distribution")
    with pytest.raises(FoldersNotFound, match="no-such-distribution is not installed"):
        sardana_folders()
    assert set(FOLDERS) == {"RecorderPath", "MacroPath"}
