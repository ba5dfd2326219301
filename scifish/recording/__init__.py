"""What runs in the measuring program: it writes datasets to the spool and returns at once."""
