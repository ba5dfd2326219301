"""What real servers a run of the tests had, said at its end."""

from __future__ import annotations

servers: set[str] = set()
"""As "Kafka: Apache Kafka 4.1.2". With several processes, each has its own until the end."""
