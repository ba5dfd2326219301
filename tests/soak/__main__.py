"""`make soak`: SciCow with real Kafka while everything goes wrong. Nothing may be lost, double or wrongly refused.

Messages of 16 beamlines (scans, snapshots, files in parts, comments, pictures; some early, late or repeated, some
with hostile texts) go to two SciCows, which are killed, stopped and started, as are Kafka and the catalogue; and the
catalogue is made to fail. Among them are messages that must become dead letters. In the end the catalogue and the
dead-letter topic are compared with what was sent.
"""

from __future__ import annotations

import argparse
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.figures import Figure, report
from tests.servers.kafka import ROOT, why_no_real_kafka
from tests.soak.run import Outcome, Run
from tests.soak.verdict import by_kind
from tests.soak.week import DATASETS, MESSAGES_OF_DATASET, Week

SHOWN = 30
"""Findings of one kind on the terminal; all are in findings.txt."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--week", action="store_true", help="a week of a facility, with nightly restarts, in their place"
    )
    parser.add_argument("--messages", type=int, help="at least so many (20000; of a week those of 20,000 datasets)")
    parser.add_argument("--rate", type=float, default=150.0, help="messages a second at most (150)")
    parser.add_argument("--gap", type=float, default=10.0, help="seconds from one fault to the next in the mean (10)")
    parser.add_argument("--seed", type=int, default=None, help="the same messages and faults (random)")
    parser.add_argument("--figures", type=Path, help="where the figures go (build/soak.json, build/week.json)")
    parser.add_argument("--folder", type=Path, help="for state and logs; kept (one in the temporary folder)")
    options = parser.parse_args()
    if reason := why_no_real_kafka():
        parser.error(f"a real Kafka is needed, which can be stopped: {reason}")
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="scicow-soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    name, kind, messages = ("soak", Run, 20_000)
    if options.week:
        name, kind, messages = ("week", Week, round(DATASETS * MESSAGES_OF_DATASET))
    run = kind(folder.resolve(), options.messages or messages, options.rate, options.gap, seed)
    run.note(f"seed {seed}, everything is in {folder}")
    try:
        outcome = run.run()
    except KeyboardInterrupt:
        print(f"\nstopped; its logs are in {folder}", file=sys.stderr)
        return 130
    except BaseException:
        print(f"The run did not come to its end; its logs are in {folder}", file=sys.stderr)
        raise
    report(figures(outcome, name), options.figures or ROOT / "build" / f"{name}.json")
    good = tell(outcome, folder)
    if good and options.folder is None:
        shutil.rmtree(folder)
    return 0 if good else 1


def figures(outcome: Outcome, name: str) -> list[Figure]:
    verdict = outcome.verdict
    wrong = by_kind([*verdict.lost, *verdict.duplicates])
    return [
        Figure(f"{name}_messages", verdict.messages, "messages", {"datasets": verdict.datasets}),
        *(Figure(f"{name}_{kind}", number, "datasets") for kind, number in wrong.items()),
        Figure(
            f"{name}_dead_letters_unexpected",
            len(verdict.unexpected),
            "",
            {"planted": verdict.planted, "repeated": verdict.repeated_dead_letters},
        ),
        Figure(f"{name}_faults", sum(outcome.faults.values()), "faults", dict(sorted(outcome.faults.items()))),
        Figure(f"{name}_minutes", round(outcome.minutes, 1), "min"),
    ]


def tell(outcome: Outcome, folder: Path) -> bool:
    """What is wrong, on the terminal and in findings.txt; whether nothing is."""
    verdict = outcome.verdict
    kinds = {"LOST": verdict.lost, "DOUBLE": verdict.duplicates, "DEAD LETTER": verdict.unexpected}
    with (folder / "findings.txt").open("w") as file:
        for kind, findings in kinds.items():
            lines = [f"{kind}: {finding.who}: {finding.what}" for finding in findings]
            file.writelines(f"{line}\n" for line in lines)
            print(*lines[:SHOWN], sep="\n", end="\n" if lines else "")
    if verdict.good:
        print("Nothing lost, nothing double, only those refused that had to be.")
    else:
        print(f"All findings, events.log and logs are in {folder}")
    return verdict.good


if __name__ == "__main__":
    sys.exit(main())
