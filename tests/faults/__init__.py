"""Fault injection: what the programs say they recorded, beside what arrived in Kafka."""
