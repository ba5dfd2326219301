"""SciCow, the ingest service: reads the messages about datasets from Kafka and writes them into SciCat."""
