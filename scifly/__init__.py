"""SciFly: a dataset for each measurement that a program of another maker writes."""
