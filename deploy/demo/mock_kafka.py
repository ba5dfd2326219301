r"""A Kafka broker without Java: librdkafka's mock cluster in a process of its own.

    python -m deploy.demo.mock_kafka

It prints `mock-kafka: HOST:PORT` once and runs until SIGTERM or Ctrl-C. It uses loopback and memory only: it keeps
about 5 MB per partition, drops older messages, and loses all when the process ends. Topics are created when they are
used, with four partitions.
"""

from __future__ import annotations

import signal

from confluent_kafka import Producer


def main() -> None:
    stopping = {signal.SIGTERM, signal.SIGINT}
    # Blocked before librdkafka starts its threads, which inherit this, so that `sigwait` gets all signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    cluster = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 3})
    brokers = cluster.list_topics(timeout=60).brokers.values()
    print("mock-kafka: " + ",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
    signal.sigwait(stopping)


if __name__ == "__main__":
    main()
