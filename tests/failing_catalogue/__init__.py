"""The embedded catalogue, which fails on request as a real SciCat, its proxy or the network may.

`python -m tests.failing_catalogue` is `scicat-embedded` with one option more, `--faults FILE`, and the path
/embedded/faults to change the rules while it runs: docs/reference/embedded-faults.md.
"""
