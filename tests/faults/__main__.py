"""`make faults`: scans and datasets while everything goes wrong.

Nothing may be lost, changed, double, left running, missing in silence, or written where it does not belong.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.figures import Figure, report
from tests.faults.disk import isolate
from tests.faults.run import MEAN_GAP, Outcome, Run, Wanted
from tests.servers.kafka import ROOT, why_no_real_kafka

SHOWN = 50
"""Findings of one kind on the terminal; all are in findings.txt."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--scans", type=int, default=300, help="at least so many Sardana scans (300)")
    parser.add_argument("--datasets", type=int, default=3000, help="at least so many datasets of SciFish (3000)")
    parser.add_argument("--minutes", type=float, default=0.0, help="for at least so long (0)")
    parser.add_argument("--faults", type=int, default=0, help="at least so many faults (each once)")
    parser.add_argument("--at-most", type=float, default=float("inf"), help="minutes after which it ends (none)")
    parser.add_argument("--gap", type=float, default=MEAN_GAP, help="seconds from fault to fault in the mean (2.75)")
    parser.add_argument("--seed", type=int, default=None, help="the same faults in the same order (random)")
    parser.add_argument("--without", action="append", default=[], metavar="FAULT", help="leave this one out (none)")
    parser.add_argument("--figures", type=Path, default=ROOT / "build" / "faults.json", help="where the figures go")
    parser.add_argument("--folder", type=Path, help="for state and logs; kept (one in the temporary folder)")
    options = parser.parse_args()
    if reason := why_no_real_kafka():
        parser.error(f"a real Kafka is needed, which can be stopped: {reason}")
    isolate("tests.faults", sys.argv[1:])
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="scifish-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    wanted = Wanted(
        options.scans,
        options.datasets,
        options.minutes,
        options.faults,
        options.gap,
        options.at_most,
        tuple(options.without),
    )
    run = Run(folder.resolve(), wanted, seed)
    run.note(f"seed {seed}, everything is in {folder}")
    try:
        outcome = run.run()
    except BaseException:
        print(f"The run did not come to its end; its logs are in {folder}", file=sys.stderr)
        raise
    report(figures(outcome), options.figures)
    tell(outcome, folder)
    if outcome.good and options.folder is None:
        shutil.rmtree(folder)
    return 0 if outcome.good else 1


def figures(outcome: Outcome) -> list[Figure]:
    verdict = outcome.verdict
    return [
        Figure("faults_scans", verdict.scans, "scans", {"hung": len(outcome.hung)}),
        Figure("faults_datasets", verdict.datasets, "datasets", {"interrupted": verdict.interrupted}),
        # What was only in a damaged file, and was said to be lost, is beside it.
        Figure("faults_lost", len(verdict.lost), "", {"damaged_and_said": len(verdict.damaged)}),
        Figure("faults_duplicates", len(verdict.duplicates), "", {"redelivered_messages": verdict.redelivered}),
        Figure("faults_running", len(verdict.running), ""),
        Figure("faults_crossed", len(verdict.crossed), "", {"withheld": verdict.withheld}),
        # No fault in which something is missing in the catalogue while every status says that all is well.
        Figure("faults_silent", len(outcome.silent), "", {"missing_and_said": outcome.looks}),
        Figure("faults_injected", sum(outcome.faults.values()), "faults", dict(sorted(outcome.faults.items()))),
        Figure("faults_minutes", round(outcome.minutes, 1), "min"),
    ]


def tell(outcome: Outcome, folder: Path) -> None:
    """What is wrong, on the terminal and in findings.txt."""
    lines = [f"NOT TESTED here: {line}" for line in outcome.skipped]
    for hung in outcome.hung:
        lines.append(f"HUNG {'in SciFishRecorder' if hung.in_recorder else 'in Sardana itself'}: {hung.words}")
    verdict = outcome.verdict
    kinds = {
        "LOST": verdict.lost,
        "DOUBLE": verdict.duplicates,
        "RUNNING": verdict.running,
        "CROSSED": verdict.crossed,
        "SILENT": outcome.silent,
        "said to be damaged": verdict.damaged,
    }
    with (folder / "findings.txt").open("w") as file:
        for kind, findings in kinds.items():
            every = [f"{kind}: {finding.who}: {finding.what}" for finding in findings]
            file.writelines(f"{line}\n" for line in every)
            lines += every[:SHOWN]
    print("\n".join(lines))
    if outcome.good:
        print("Nothing lost, nothing double, nothing left running, nothing missing in silence, nothing elsewhere.")
    else:
        print(f"All findings, events.log, ledgers and logs are in {folder}")


if __name__ == "__main__":
    sys.exit(main())
