"""How SciCow speaks to Kafka: clients, topics, consumer group, and sending messages again."""
