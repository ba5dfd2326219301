"""One dataset: its messages, its files, its plot, and whether it may be sent."""
