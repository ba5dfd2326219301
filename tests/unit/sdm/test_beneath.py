"""Files are opened below their folder, whatever is put in their place meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sdm.beneath import open_beneath


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With `a/b/file` in it; `outside`, beside it, has another one."""
    for name in ("folder/a/b", "outside/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text(name)
    return tmp_path / "folder"


def content(folder: Path | str, path: Path | str) -> str:
    with open(open_beneath(str(folder), str(path))) as file:
        return file.read()


def test_a_file_below_the_folder(folder: Path) -> None:
    assert content(folder, folder / "a/b/file") == "folder/a/b"
    assert content(f"{folder}/", folder / "a/b/file") == "folder/a/b"
    assert content("/", folder / "a/b/file") == "folder/a/b"
    link = folder.parent / "link"
    link.symlink_to(folder)
    assert content(link, link / "a/b/file") == "folder/a/b"


@pytest.mark.parametrize("path", ["", "/", "{}", "{}/", "{}/../outside/b/file", "{}/a/./file", "{}x/file", "a/b/file"])
def test_another_path_is_refused(folder: Path, path: str) -> None:
    with pytest.raises(ValueError, match="is not below"):
        open_beneath(str(folder), path.format(folder))


@pytest.mark.parametrize("place", ["a", "a/b", "a/b/file"])
def test_no_link_below_the_folder_is_followed(folder: Path, place: str) -> None:
    (folder / place).rename(folder.parent / "away")
    (folder / place).symlink_to(folder.parent / "away")
    with pytest.raises(OSError, match=r"Not a directory|Too many levels of symbolic links"):
        open_beneath(str(folder), str(folder / "a/b/file"))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_folder_that_becomes_a_link_between_two_steps_leads_nowhere(
    folder: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before each of the four names is opened, `a` is replaced by a link."""
    steps = 0
    step: Callable[..., int] = os.open

    def swapping(*args: object, **more: object) -> int:
        nonlocal steps
        steps += 1
        if steps == number:
            (folder / "a").rename(folder.parent / "away")
            (folder / "a").symlink_to(folder.parent / "outside")
        return step(*args, **more)

    monkeypatch.setattr("sdm.beneath.os.open", swapping)
    before = sorted(os.listdir("/proc/self/fd"))
    try:
        handle = open_beneath(str(folder), str(folder / "a/b/file"))
    except OSError:
        assert number <= 2
    else:
        with open(handle) as file:
            assert file.read() == "folder/a/b"
    monkeypatch.undo()
    assert sorted(os.listdir("/proc/self/fd")) == before
