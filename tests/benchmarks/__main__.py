"""`make bench`: all figures, as a table and in build/bench.json.

    python -m tests.benchmarks [NAME ...]

Each benchmark runs in a process of its own, one after the other; without names all of them do.
What one alone can be told, `python -m tests.benchmarks.NAME --help` says. The machine should do
nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time

from tests.benchmarks.figures import BUILD, Figure, load, report

NAMES = (
    *("scan_overhead", "point_overhead", "snapshot", "spool_speed", "memory", "ingest"),
    *("scanlog", "scanlog_live", "scidog_editor", "scifly", "scifly_idle"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(NAMES)}")
    names = parser.parse_args().names or NAMES
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names:
        start = time.monotonic()
        file = BUILD / f"{name}.json"
        file.unlink(missing_ok=True)
        try:
            status = _run(name)
        except KeyboardInterrupt:
            return 130
        if status or not file.exists():
            failed.append(f"{name}: ended with status {status}")
            continue
        figures += load(file)
        print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    if len(names) > 1:
        report(figures, BUILD / "bench.json")
    for line in failed:
        print(line, file=sys.stderr)
    return 1 if failed else 0


def _run(name: str) -> int:
    """The exit status. What ends us ends it too: it tidies up, and is waited for."""
    process = subprocess.Popen([sys.executable, "-m", f"tests.benchmarks.{name}"])
    try:
        return process.wait()
    except KeyboardInterrupt:  # it has had it from the terminal, as we have
        process.wait()
        raise
    except SystemExit:
        process.terminate()
        process.wait()
        raise


if __name__ == "__main__":
    sys.exit(main())
