"""SciCow: from Kafka into SciCat."""
