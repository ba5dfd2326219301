"""What it costs to watch 100,000 files while nothing happens.

    python -m tests.benchmarks.scifly_idle

The tree has 1,000 folders of 100 files, of a day ago. A process of its own watches it, with inotify and then
with polling; when all files are told of, its processor time over a minute is taken, in percent of one
processor. The figure is the larger of both. Beside it is what a watch would cost that looked at every file
once a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from scifly.watching import FinishedFile, watch
from tests.benchmarks.figures import Figure, NotMeasured, alone, progress, scratch

FOLDERS = 1_000
FILES = 100
"""In each folder."""

PATIENCE = 300.0
"""Seconds until all are reported."""


def measure(seconds: float = 60.0) -> list[Figure]:
    with scratch("scifly-idle") as folder:
        _fill(folder)
        percent = {method: _idle(folder, method, seconds) for method in ("inotify", "polling")}
        beside = {**percent, "every_file_each_second": _look_at_all(folder), "files": FOLDERS * FILES}
    return [Figure("scifly_idle_cpu_percent", max(percent.values()), "% of one processor", beside)]


def _fill(root: Path) -> None:
    yesterday = time.time() - 86_400
    for number in range(FOLDERS):
        progress(f"making folder {number} of {FOLDERS}")
        folder = root / f"scan_{number:04}"
        folder.mkdir()
        for name in range(FILES):
            file = folder / f"Ag_{name:04}.txt"
            file.write_bytes(b"[Info]\n")
            os.utime(file, (yesterday, yesterday))
        os.utime(folder, (yesterday, yesterday))
    os.utime(root, (yesterday, yesterday))


def _idle(root: Path, method: str, seconds: float) -> float:
    progress(f"{method}: nothing happens for {seconds:g} s")
    command = [sys.executable, "-m", "tests.benchmarks.scifly_idle", "--watch", method, str(root), str(seconds)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=PATIENCE + seconds + 60)
    return float(json.loads(answer.stdout))


def _watch(method: str, root: str, seconds: float) -> None:
    """Print how many percent of a processor this process takes."""
    done = threading.Event()
    found: list[FinishedFile] = []

    def take(file: FinishedFile) -> None:
        found.append(file)
        if len(found) == FOLDERS * FILES:
            done.set()

    watched = watch(root, lambda path: True, lambda path: 2.0, take, method)  # type: ignore[arg-type]
    watched.start()
    if not done.wait(PATIENCE):
        raise NotMeasured(f"{len(found)} files of {FOLDERS * FILES} are found after {PATIENCE:g} s")
    start, clock = time.process_time(), time.monotonic()
    time.sleep(seconds)
    used = (time.process_time() - start) / (time.monotonic() - clock)
    if watched.trouble or watched.method != method or len(found) != FOLDERS * FILES:
        raise NotMeasured(f"{watched.method}: {watched.trouble or len(found)}")
    watched.stop()
    print(json.dumps(round(100 * used, 3)))


def _look_at_all(root: Path) -> float:
    start = time.process_time()
    for folder in os.scandir(root):
        for file in os.scandir(folder):
            file.stat()
    return round(100 * (time.process_time() - start), 3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long nothing happens (%(default)s)")
    parser.add_argument("--watch", nargs=3, metavar=("METHOD", "ROOT", "SECONDS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        _watch(options.watch[0], options.watch[1], float(options.watch[2]))
    else:
        alone("scifly_idle", lambda: measure(options.seconds))
