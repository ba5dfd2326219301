"""SciFly makes a dataset of each measurement that another vendor's program writes to files."""
