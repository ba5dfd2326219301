"""What real servers a run of the tests had, and what befell them, said at its end."""

from __future__ import annotations

servers: set[str] = set()
"""As "Kafka: Apache Kafka 4.1.2". With several processes, each has its own until the end."""

incidents: set[str] = set()
"""Lines on what was wrong with a server that is not ours, and what was done: never in silence."""
