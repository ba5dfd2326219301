"""The spool: messages on the local disk until Kafka has confirmed them, and the sender that delivers them."""
