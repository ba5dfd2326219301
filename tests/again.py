"""Run the tests that have servers again and again on a busy machine, and list what failed how often.

    python -m tests.again 20                             # all that have servers
    python -m tests.again 5 tests/ui --busy 0            # these, on a quiet machine
    python -m tests.again 20 -- -k pathfixer -n 1        # what follows -- is pytest's

The exit status is 1 if a test has failed. Ctrl-C ends it with the list so far.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from deploy.demo.processes import Process, Processes

WITH_SERVERS = ("tests/integration", "tests/contract", "tests/ui")
AS_MAKE_TEST = ("-n", "4", "--dist", "loadfile", "--no-loadscope-reorder")
BUSY_LOOP = "while True: pass"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.again", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rounds", type=_count, metavar="N", help="how often")
    parser.add_argument("tests", nargs="*", default=WITH_SERVERS, help=f"files or folders ({' '.join(WITH_SERVERS)})")
    cores = len(os.sched_getaffinity(0))
    parser.add_argument(
        "--busy", type=int, default=cores, metavar="K", help="busy loops beside them (as many as cores: %(default)s)"
    )
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:split])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
    failed: Counter[str] = Counter()
    done = 0
    try:
        with tempfile.TemporaryDirectory() as folder, Processes(Path(folder)) as processes:
            for number in range(options.busy):
                processes.start(f"busy-{number}", [sys.executable, "-c", BUSY_LOOP])
            for done in range(1, options.rounds + 1):
                names = _run(processes, Path(folder), done, [*AS_MAKE_TEST, *options.tests, *given[split + 1 :]])
                failed.update(names)
                print(f"{done} of {options.rounds}: {len(names)} failed", flush=True)
                for name in names:
                    print(f"    {name}", flush=True)
    except KeyboardInterrupt:
        print("\nStopped.")
    print(f"In {done} rounds beside {options.busy} busy loops, tests that failed: {len(failed)}")
    for name, count in failed.most_common():
        print(f"{count:5}  {name}")
    return 1 if failed else 0


def _run(processes: Processes, folder: Path, number: int, arguments: list[str]) -> list[str]:
    """The tests that failed in one run; ["pytest itself ..."] if it did not come to an end as it should."""
    report = folder / f"{number}.xml"
    start = time.monotonic()
    process = processes.start(f"pytest-{number}", [sys.executable, "-m", "pytest", f"--junitxml={report}", *arguments])
    while process.wait(60.0) is None:
        minutes = (time.monotonic() - start) / 60
        print(f"round {number}, {minutes:.0f} min: {_last_line(process)}", flush=True)
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
        kept = Path("build") / "again" / f"{time.strftime('%H%M%S')}.log"
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
