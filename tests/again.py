"""Run the tests that have servers again and again on a busy machine, and list what failed how often.

    python -m tests.again 20                             # all that have servers, beside busy loops
    python -m tests.again 20 --at-once 2                 # two at a time, each the other's load: half the time
    python -m tests.again 5 tests/ui --busy 0            # these, on a quiet machine
    python -m tests.again 20 -- -k pathfixer -n 1        # what follows -- is pytest's

The exit status is 1 if a test has failed. Ctrl-C ends it with the list so far.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from deploy.demo.processes import Process, Processes

WITH_SERVERS = ("tests/integration", "tests/contract", "tests/ui")
AS_MAKE_TEST = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
BUSY_LOOP = "while True: pass"
SAY_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.again", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rounds", type=_count, metavar="N", help="how often")
    parser.add_argument("tests", nargs="*", default=WITH_SERVERS, help=f"files or folders ({' '.join(WITH_SERVERS)})")
    parser.add_argument("--at-once", type=_count, default=1, metavar="K", help="rounds at the same time (%(default)s)")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--busy", type=int, metavar="K", help=f"busy loops beside them (as many as cores, {cores}; with --at-once 0)"
    )
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:split])
    busy = options.busy if options.busy is not None else cores if options.at_once == 1 else 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    failed: Counter[str] = Counter()
    done = 0
    try:
        with tempfile.TemporaryDirectory() as folder, Processes(Path(folder)) as processes:
            for number in range(busy):
                processes.start(f"busy-{number}", [sys.executable, "-c", BUSY_LOOP])
            arguments = [*AS_MAKE_TEST, *options.tests, *given[split + 1 :]]
            for names in _rounds(processes, Path(folder), options.rounds, options.at_once, arguments):
                done += 1
                failed.update(names)
                print(f"{done} of {options.rounds}: {len(names)} failed", flush=True)
                for name in names:
                    print(f"    {name}", flush=True)
    except KeyboardInterrupt:
        print("\nStopped.")
    load = f"{busy} busy loops" if options.at_once == 1 else f"{options.at_once - 1} other rounds and {busy} busy loops"
    print(f"In {done} rounds, each beside {load}, tests that failed: {len(failed)}")
    for name, count in failed.most_common():
        print(f"{count:5}  {name}")
    return 1 if failed else 0


def _rounds(processes: Processes, folder: Path, rounds: int, at_once: int, arguments: list[str]) -> Iterator[list[str]]:
    """The tests that failed, for each round as it ends."""
    running: dict[int, Process] = {}
    numbers = iter(range(1, rounds + 1))
    say = time.monotonic() + SAY_SECONDS
    while True:
        for number in itertools.islice(numbers, at_once - len(running)):
            argv = [sys.executable, "-m", "pytest", f"--junitxml={_report(folder, number)}", *arguments]
            running[number] = processes.start(f"pytest-{number}", argv)
        if not running:
            return
        for number, process in list(running.items()):
            if process.wait(1.0) is not None:
                del running[number]
                yield _failed(process, _report(folder, number), number)
        if time.monotonic() > say:
            say = time.monotonic() + SAY_SECONDS
            for number, process in running.items():
                print(f"round {number}: {_last_line(process)}", flush=True)


def _report(folder: Path, number: int) -> Path:
    return folder / f"{number}.xml"


def _failed(process: Process, report: Path, number: int) -> list[str]:
    """The tests that failed in a round; ["pytest itself ..."] if it did not come to an end as it should."""
    if not report.is_file():
        print(process.text[-3000:])
        return ["pytest itself: its report is missing"]
    cases = ElementTree.parse(report).iter("testcase")
    names = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    if names:
        kept = Path("build") / "again" / f"{time.strftime('%H%M%S')}-{number}.log"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(process.text, "utf-8")
        print(f"what pytest said is in {kept}", flush=True)
    return names


def _last_line(process: Process) -> str:
    lines = process.text.strip().splitlines()
    return lines[-1][-100:] if lines else "starting"


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number from 1, not {text}")
    return number


if __name__ == "__main__":
    sys.exit(main())
