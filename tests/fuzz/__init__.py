"""Anything that may come out of Kafka: each message must be ingested or become a dead letter."""
