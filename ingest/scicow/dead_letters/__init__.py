"""The dead-letter topic: writing dead letters, reading, replaying and dropping them."""
