"""SciFly: a dataset for each file that a program of another maker writes."""
