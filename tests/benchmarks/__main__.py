"""`make bench`: all figures, as a table and in build/bench.json."""

from pathlib import Path

from tests.benchmarks import scan_overhead
from tests.benchmarks.figures import report

report([figure for module in (scan_overhead,) for figure in module.measure()], Path("build/bench.json"))
