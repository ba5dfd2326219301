"""From Kafka to SciCat: consumer, dataset queues, worker threads, failure policy and offsets."""
