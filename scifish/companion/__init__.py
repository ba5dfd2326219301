"""The companion process: it finishes and sends the datasets of one recording program."""
