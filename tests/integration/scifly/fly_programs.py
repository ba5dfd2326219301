r"""Programs that write files like those of other vendors, each as a process of its own.

    python -m tests.integration.scifly.fly_programs NAME PATH

A program that prints "ready" waits for a line on stdin before it continues.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PIECE = b"123.4\t5678\n" * 100
PAUSE = 0.05
"""Seconds between two pieces of one that writes slowly: much less than its file needs to settle."""

REGIONS = 3


def slowly(path: str) -> None:
    """Write piece by piece into the open file."""
    with open(path, "wb", buffering=0) as file:
        for _ in range(12):
            file.write(PIECE)
            time.sleep(PAUSE)


def renaming(path: str) -> None:
    """Write under a temporary name, and rename the complete file."""
    with open(f"{path}.tmp", "wb", buffering=0) as file:
        for _ in range(3):
            file.write(PIECE)
            time.sleep(PAUSE)
    os.rename(f"{path}.tmp", path)


def linking(path: str) -> None:
    """Write under a hidden name, and link the complete file (like programs that must not overwrite)."""
    folder, name = os.path.split(path)
    hidden = os.path.join(folder, f".{name}")
    Path(hidden).write_bytes(PIECE)
    os.link(hidden, path)
    os.unlink(hidden)


def header(path: str) -> None:
    """Write the data, close the file, and then write the header at its start."""
    Path(path).write_bytes(b"Number of points=????\n" + PIECE)
    time.sleep(PAUSE)
    with open(path, "r+b") as file:
        file.write(b"Number of points=0100\n")


def regions(path: str) -> None:
    """Write region by region, each on request, and close the file in between."""
    for number in range(REGIONS):
        with open(path, "ab") as file:
            file.write(f"[Region {number}]\n".encode() + PIECE)
        _wait()


def held(path: str) -> None:
    """Write region by region, each on request, into a file that stays open."""
    with open(path, "wb", buffering=0) as file:
        for number in range(REGIONS):
            file.write(f"[Region {number}]\n".encode() + PIECE)
            _wait()


def late(path: str) -> None:
    """Open the file, and write everything on request."""
    with open(path, "wb") as file:
        _wait()
        file.write(PIECE)


def folders(path: str) -> None:
    """Many times: make nested folders, and fill them at once."""
    for number in range(100):
        nested = os.path.join(path, str(number), "b", "c")
        os.makedirs(nested)
        for name in ("one.txt", "two.txt"):
            Path(nested, name).write_bytes(PIECE)
        Path(path, str(number), "b", "three.txt").write_bytes(PIECE)


def folder_held(path: str) -> None:
    """Write a file into nested folders that were just made; it stays open until the request to continue."""
    os.makedirs(os.path.dirname(path))
    with open(path, "wb", buffering=0) as file:
        file.write(PIECE)
        _wait()
        file.write(PIECE)


def burst(path: str) -> None:
    """Write 5,000 files as fast as possible, in 50 folders."""
    for number in range(5_000):
        if number % 100 == 0:
            folder = os.path.join(path, f"{number:05}")
            os.mkdir(folder)
        with open(os.path.join(folder, f"frame_{number:05}.h5"), "wb") as file:
            file.write(PIECE)


def anything(path: str) -> None:
    """Create, rewrite, rename, move and delete files and folders at random.

    No name is used again for another file or folder.
    """
    chance = random.Random(os.path.basename(path))
    numbers = itertools.count()
    folders, files = [path], list[str]()

    def new(folder: str) -> str:
        return os.path.join(folder, str(next(numbers)))

    def moved(old: str, now: str) -> None:
        os.rename(old, now)
        for known in (folders, files):
            known[:] = [now + one[len(old) :] if f"{one}/".startswith(f"{old}/") else one for one in known]

    for _ in range(1_000):
        time.sleep(chance.choice((0, 0, 0, 0.005)))
        folder = chance.choice(folders)
        what = chance.choices(("make", "folder", "again", "rename", "move", "remove"), (40, 10, 20, 10, 5, 5))[0]
        if what == "folder" or len(folders) == 1 or not files:
            folders.append(new(folder))
            os.mkdir(folders[-1])
            what = "make"
            folder = folders[-1]
        if what == "make":
            files.append(new(folder))
            Path(files[-1]).write_bytes(b"x" * chance.randrange(5_000))
        elif what == "again":
            with open(chance.choice(files), "ab") as file:
                file.write(b"more")
        elif what == "rename":
            moved(chance.choice(files), new(folder))
        elif what == "move":
            old = chance.choice(folders[1:])
            if not f"{folder}/".startswith(f"{old}/"):
                moved(old, new(folder))
        else:
            os.unlink(gone := chance.choice(files))
            files.remove(gone)


def _wait() -> None:
    print("ready", flush=True)
    if not sys.stdin.readline():
        sys.exit("nobody says how to go on")


PROGRAMS: dict[str, Callable[[str], None]] = {
    program.__name__: program
    for program in (slowly, renaming, linking, header, regions, held, late, folders, folder_held, burst, anything)
}


class Program:
    """One running program."""

    def __init__(self, process: subprocess.Popen[str], stdin: IO[str], stdout: IO[str]) -> None:
        self.process = process
        self._stdin = stdin
        self._stdout = stdout

    def wait_ready(self) -> None:
        assert self._stdout.readline() == "ready\n"

    def go_on(self) -> None:
        self._stdin.write("\n")
        self._stdin.flush()

    def end(self) -> None:
        assert self.process.wait(60) == 0


@contextmanager
def running(name: str, path: str | Path) -> Iterator[Program]:
    command = [sys.executable, "-m", "tests.integration.scifly.fly_programs", name, os.fspath(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Program(process, process.stdin, process.stdout)
        finally:
            process.kill()


def run(name: str, path: str | Path) -> None:
    """Run a program to its end."""
    with running(name, path) as program:
        program.end()


if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](sys.argv[2])
